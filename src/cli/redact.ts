const HIDDEN = "***";

/** The user and password of an address, wherever one stands in a text; up to the last `@`, since a password may hold one. */
const USERINFO = /([a-z][a-z0-9+.-]*:\/\/)\S*@/gi;
const SECRET_NAME = /pass|secret|token|pwd/i;
const SECRET_PARAMETER = /([?&;][^=&\s]*(?:pass|secret|token|pwd)[^=&\s]*=)[^&\s'"]*/gi;
const ADDRESS = /[a-z][a-z0-9+.-]*:\/\/\S+/gi;
/** Shorter ones stand in too many words; in an address they are hidden whatever their length. */
const MIN_SECRET_LENGTH = 4;

/** Takes out of a text what the environment and the command line hold of passwords. */
export function redactor(env: Readonly<Record<string, string | undefined>>, args: readonly string[]): (text: string) => string {
  const secrets = new Set<string>();
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (/^(PGPASSWORD|.*_PASSWORD)$/.test(name)) secrets.add(value);
    for (const secret of secretsOf(value)) secrets.add(secret);
  }
  for (const secret of args.flatMap(secretsOf)) secrets.add(secret);
  // The longest first: one may hold another.
  const literals = [...secrets].filter((secret) => secret.length >= MIN_SECRET_LENGTH).sort((a, b) => b.length - a.length);
  return (text) => {
    let safe = text;
    for (const literal of literals) safe = safe.replaceAll(literal, HIDDEN);
    return safe.replace(USERINFO, `$1${HIDDEN}@`).replace(SECRET_PARAMETER, `$1${HIDDEN}`);
  };
}

/** The passwords in the addresses of a text, as they stand there and as a server gets them. */
function secretsOf(text: string): string[] {
  return (text.match(ADDRESS) ?? []).flatMap((address) => {
    const [, userinfo = ""] = /^[a-z][a-z0-9+.-]*:\/\/(\S*)@/i.exec(address) ?? [];
    const colon = userinfo.indexOf(":");
    // A lone user name is a name, except where it is a token.
    const password = colon === -1 ? (/^rediss?:/i.test(address) ? userinfo : "") : userinfo.slice(colon + 1);
    const parameters = [...new URLSearchParams(address.split("?")[1] ?? "")].filter(([name]) => SECRET_NAME.test(name));
    return [password, ...parameters.map(([, value]) => value)].flatMap((secret) => [secret, decoded(secret)]).filter(Boolean);
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
