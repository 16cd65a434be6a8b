/** Lines of plain text: the first column to the left, the others to the right, a line under the heads. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, column) => (column === 0 ? (cells[column] ?? "").padEnd(width) : (cells[column] ?? "").padStart(width)))
      .join("   ")
      .trimEnd();
  return [line(heads), widths.map((width) => "-".repeat(width)).join("   "), ...rows.map(line)].join("\n");
}

/** 1,234 */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** +1,234 or -40 */
export function signed(value: number): string {
  return `${Math.round(value) > 0 ? "+" : ""}${whole(value)}`;
}
