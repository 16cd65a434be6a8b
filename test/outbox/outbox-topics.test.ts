import { join } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../support/source-files.ts";

/** Apart from the other tests: what it declares would hold for all of them. Each use is on the line its number names. */
const PROGRAM = `import type { TopicName, TopicPayload, Transaction } from "exclaim";
declare module "exclaim" { interface OutboxTopics { "voucher.assigned": { userId: number }; "seat.freed": null } }
declare const tx: Transaction;
const payload: TopicPayload<"voucher.assigned"> = { userId: 7 };
void tx.publish("voucher.assigned", payload);
void tx.publish("seat.freed", null);
void tx.publish("voucher.assigned", { userId: "7" });
void tx.publish("voucher.asigned", { userId: 7 });
void tx.publish("seat.freed", { userId: 7 });
const name: TopicName = "another";
void name;
`;

describe("topics that a program declares", () => {
  let wrong: readonly { readonly line: number; readonly message: string }[];

  beforeAll(() => {
    wrong = mistakesIn(PROGRAM);
  });

  it("are the only ones to publish, each with its payload", () => {
    expect(wrong).toEqual([
      { line: 7, message: "Type 'string' is not assignable to type 'number'." },
      { line: 8, message: expect.stringContaining("'\"voucher.asigned\"' is not assignable") },
      { line: 9, message: expect.stringContaining("is not assignable to parameter of type 'null'") },
      { line: 10, message: expect.stringContaining("'\"another\"' is not assignable") },
    ]);
  });
});

/** What the compiler says of one file that uses the package by its name. */
function mistakesIn(text: string): { line: number; message: string }[] {
  const path = join(ROOT, "test/outbox/declared-topics.ts");
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    // Enough for the file itself: of the package's own files only what they declare is asked.
    lib: ["lib.es2022.d.ts"],
    types: [],
    paths: { exclaim: [join(ROOT, "src/index.ts")] },
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, getSourceFile } = host;
  host.fileExists = (name) => name === path || fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === path ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest);
  const program = ts.createProgram([path], options, host);
  const source = program.getSourceFile(path);
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
    ({ file, start = 0, messageText }) => ({
      line: (file?.getLineAndCharacterOfPosition(start).line ?? -1) + 1,
      message: ts.flattenDiagnosticMessageText(messageText, "\n"),
    }),
  );
}
