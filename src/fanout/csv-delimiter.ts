const DELIMITERS = [",", ";", "\t"];

/** What the first line has most of; the first of them in a tie. Undefined: the line is not all there yet. */
export function delimiterOf(bytes: Buffer, isAll: boolean): string | undefined {
  const counts = new Map(DELIMITERS.map((delimiter) => [delimiter, 0]));
  let isQuoted = false;
  let hasText = false;
  let isEnded = isAll;
  for (const char of bytes.toString()) {
    if (char === '"') isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if ((char === "\n" || char === "\r") && hasText) {
      isEnded = true;
      break;
    } else if (counts.has(char)) counts.set(char, (counts.get(char) ?? 0) + 1);
    hasText ||= char.trim() !== "";
  }
  if (!isEnded) return undefined;
  return [...counts].sort(([, one], [, other]) => other - one)[0]?.[0];
}
