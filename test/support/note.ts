/** Says on stderr how the tests come by their servers. */
export function note(text: string): void {
  process.stderr.write(`servers: ${text}\n`);
}
