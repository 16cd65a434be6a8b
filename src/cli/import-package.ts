import { ExclaimError } from "../errors.ts";

/**
 * Loads a package that exclaim can do without and this command cannot.
 * Throws CONFIG_INVALID: it is not installed; the message says how to install it.
 */
export async function importPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND";
    if (!isMissing || !cause.message.includes(`'${name}'`)) throw cause;
    throw new ExclaimError("CONFIG_INVALID", `this command needs the package ${name}: npm install ${name}`, { cause });
  }
}
