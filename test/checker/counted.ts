/** A number with its noun, for people: `1 seed`, `2,000 seeds`. `many` is the plural where it is not the noun with an s. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
