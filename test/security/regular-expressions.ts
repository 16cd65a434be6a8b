import ts from "typescript";
import { sourceFiles } from "../support/source-files.ts";

/** A pattern as it stands in the sources. */
export interface FoundPattern {
  readonly file: string;
  readonly source: string;
  readonly flags: string;
}

/** Every regular expression literal of src/, and every `new RegExp` that is built, by its text. */
export function sourcePatterns(): { readonly literals: readonly FoundPattern[]; readonly built: readonly string[] } {
  const literals: FoundPattern[] = [];
  const built: string[] = [];
  for (const { path: file, text } of sourceFiles("src")) {
    const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);
    const visit = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node)) {
        const end = node.text.lastIndexOf("/");
        literals.push({ file, source: node.text.slice(1, end), flags: node.text.slice(end + 1) });
      }
      const isCall = ts.isNewExpression(node) || ts.isCallExpression(node);
      if (isCall && node.expression.getText() === "RegExp") built.push(`${file}: ${node.getText()}`);
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  return { literals, built };
}

/**
 * Whether an unbounded quantifier stands inside of what an unbounded quantifier repeats: the shape that takes exponential time.
 * Walks the pattern once; bounded repetitions (`?`, `{0,30}`) count for nothing.
 */
export function hasNestedQuantifier(source: string): boolean {
  /** For each open group, whether something unbounded is in it. */
  const groups: boolean[] = [false];
  let isInClass = false;
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at];
    if (char === "\\") at += 1;
    else if (isInClass) isInClass = char !== "]";
    else if (char === "[") isInClass = true;
    else if (char === "(") groups.push(false);
    else if (char === ")") {
      const holdsUnbounded = groups.pop() ?? false;
      const isRepeated = isUnbounded(source, at + 1);
      if (holdsUnbounded && isRepeated) return true;
      groups[groups.length - 1] ||= holdsUnbounded || isRepeated;
    } else if (isUnbounded(source, at)) groups[groups.length - 1] = true;
  }
  return false;
}

function isUnbounded(source: string, at: number): boolean {
  return source[at] === "*" || source[at] === "+" || /^\{\d+,\}/.test(source.slice(at, at + 12));
}

/** Texts that make a backtracking matcher of the pattern work: what it looks for, again and again, and something that is none of it. */
export function attacksOn({ source }: Pick<FoundPattern, "source">, length: number): readonly string[] {
  const pieces = new Set<string>(["a", " ", "0", "-", ".", "/", "\n", "=", '"', "a=", '""', "(", "%", "\u{1f512}"]);
  const plain = literalPartsOf(source);
  for (const part of plain) pieces.add(part);
  for (const part of plain) for (const filler of ["a", " ", "0"]) pieces.add(part + filler);
  pieces.add(plain.join(""));
  pieces.add(plain.join("a"));
  const attacks: string[] = [];
  for (const piece of pieces) {
    if (piece === "") continue;
    const many = piece.repeat(Math.ceil(length / piece.length));
    attacks.push(many, `${plain[0] ?? ""}${many}\u0000!`, `${many}${plain.at(-1) ?? ""}\u0001x`);
  }
  return attacks;
}

/** The runs of characters that stand for themselves, and one character of each class. */
function literalPartsOf(source: string): string[] {
  const text = source
    .replace(/\(\?(?:[:=!]|<[=!])/g, "(")
    .replace(/\[\^[^\]]*\]/g, "a")
    .replace(/\[\\?(.)[^\]]*\]/g, "$1")
    .replace(/\\[pP]\{[^}]*\}/g, "a")
    .replace(/\\s/g, " ")
    .replace(/\\n/g, "\n")
    .replace(/\\d/g, "0")
    .replace(/\\[wS]/g, "a")
    .replace(/\{\d*,?\d*\}/g, "");
  return text
    .split(/(?<!\\)[()|*+?^$]/)
    .map((part) => part.replaceAll("\\", ""))
    .filter((part) => part !== "");
}
