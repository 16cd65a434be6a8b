import { ExclaimError } from "../errors.ts";
import { messageOf } from "./message-of.ts";

export type Report = (error: ExclaimError) => void;

/** Where a consumer says what went wrong beside its messages: the user's hook, else a warning of the process. Never throws. */
export function reporter(onError: Report | undefined): Report {
  return (error) =>
    guarded(
      () => {},
      "",
      () => (onError === undefined ? process.emitWarning(error) : onError(error)),
    );
}

/** Runs a hook of the user's, whose fault must not be the message's: what it throws, or rejects with, is reported. */
export function guarded(report: Report, what: string, hook: () => unknown): void {
  const failed = (cause: unknown): void => report(new ExclaimError("ABORTED", `${what}: ${messageOf(cause)}`, { cause }));
  try {
    const returned = hook();
    if (returned instanceof Promise) returned.catch(failed);
  } catch (cause) {
    failed(cause);
  }
}
