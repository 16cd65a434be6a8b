const HIDDEN = "***";

/** An address, wherever one stands in a text. A scheme is short: to look for a longer one would take the square of the text's length. */
const ADDRESS = /([a-z][a-z0-9+.-]{0,30}:\/\/)(\S+)/gi;
const SECRET_NAME = /pass|secret|token|pwd/i;
/** A parameter, with its value only where its name is a secret's. */
const PARAMETER = /([?&;][^=?&;\s]*=)((?<=(?:pass|secret|token|pwd)[^=?&;\s]*=)[^&\s'"]*)?/gi;
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
    return safe.replace(ADDRESS, withoutUserinfo).replace(PARAMETER, withoutSecret);
  };
}

/** The user and password are all up to the last `@`, since a password may hold one. */
function withoutUserinfo(address: string, scheme: string, rest: string): string {
  const end = rest.lastIndexOf("@");
  return end === -1 ? address : `${scheme}${HIDDEN}${rest.slice(end)}`;
}

function withoutSecret(parameter: string, name: string, secret: string | undefined): string {
  return secret === undefined ? parameter : `${name}${HIDDEN}`;
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
