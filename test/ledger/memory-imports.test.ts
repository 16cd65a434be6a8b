import { memoryImports } from "../../src/ledger/memory-imports.ts";
import { importsConformance } from "../conformance/imports-conformance.ts";

importsConformance("memory", async () => ({ imports: memoryImports({ now: () => new Date() }), close: async () => {} }));
