import { describe, expect, it } from "vitest";
import { Progress } from "../../src/cli/progress.ts";

describe("Progress", () => {
  it("writes one line anew on a terminal, cut to its width, and takes it away", () => {
    const { stream, text } = recorded({ isTTY: true, columns: 12 });
    const progress = new Progress(stream);

    progress.update("1 of 2,268 messages");
    progress.update("2 of 2");
    progress.clear();

    expect(text()).toBe("\r\u001b[K1 of 2,268 \r\u001b[K2 of 2\r\u001b[K");
  });

  it("lets a note stay above the changing line", () => {
    const { stream, text } = recorded({ isTTY: true, columns: 80 });
    const progress = new Progress(stream);

    progress.update("1 of 2");
    progress.note("naive: done");
    progress.update("2 of 2");

    expect(text()).toBe("\r\u001b[K1 of 2\r\u001b[Knaive: done\n\r\u001b[K2 of 2");
  });

  it("writes plain lines elsewhere, and not one for every change", () => {
    const { stream, text } = recorded({});
    const progress = new Progress(stream);

    for (let settled = 1; settled <= 1_000; settled++) progress.update(`${settled} of 1000`);
    progress.clear();

    expect(text()).toBe("1 of 1000\n");
  });
});

function recorded(terminal: { isTTY?: boolean; columns?: number }) {
  const written: string[] = [];
  return { stream: { ...terminal, write: (text: string) => written.push(text) }, text: () => written.join("") };
}
