const LONG_FRACTION = /(?<![\w.-])\d+\.\d{2,}(?!\w|\.\d)/g;

/** A text for people: each number with two or more decimals has one at most. Names with digits in them, as `pod-1.12`, stay as they are. */
export function roundNumbers(text: string): string {
  return text.replace(LONG_FRACTION, (number) => String(Number(Number(number).toFixed(1))));
}
