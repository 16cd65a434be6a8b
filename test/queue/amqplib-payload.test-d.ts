import { expectTypeOf, it } from "vitest";
import type { AmqpMessage } from "../../src/queue/amqplib-channel.ts";
import { type PayloadOptions, payloadReader } from "../../src/queue/amqplib-payload.ts";
import type { StandardSchema } from "../../src/standard-schema.ts";

interface SignUp {
  readonly userId: number;
  readonly at: Date;
}

/** What libraries declare for a schema, as the specification has it: with an input that is another type than the output. */
interface Declared<Input, Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
      options?: { readonly libraryOptions?: Record<string, unknown> | undefined } | undefined,
    ) => Answer<Output> | Promise<Answer<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Answer<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: ReadonlyArray<{
        readonly message: string;
        readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
      }>;
    };

type Input = Record<keyof SignUp, string>;
declare const message: AmqpMessage;
declare const declared: Declared<Input, SignUp>;
/** As one of zod: a class with much besides. */
declare const rich: Declared<Input, SignUp> & { parse(value: unknown): SignUp; readonly _output: SignUp };
/** As one of arktype: a call gives the value or errors. */
declare const callable: Declared<Input, SignUp> & ((value: unknown) => SignUp | readonly Error[]);
/** As one of a library that declares no types for the compiler alone. */
declare const untyped: { readonly "~standard": Omit<Declared<Input, SignUp>["~standard"], "types"> };

it("infers the payload from what a schema gives, not from what it takes", () => {
  expectTypeOf(payloadReader({ parse: declared })).toEqualTypeOf<(message: AmqpMessage) => Promise<SignUp> | SignUp>();
  expectTypeOf(payloadReader({ parse: rich })(message)).toEqualTypeOf<Promise<SignUp> | SignUp>();
  expectTypeOf(payloadReader({ parse: untyped })(message)).toEqualTypeOf<Promise<SignUp> | SignUp>();
});

it("takes a callable schema for the payload that the handler names, not for what a call gives", () => {
  function consumer<P>(handler: (payload: P) => void, options: PayloadOptions<P>) {
    return { handler, read: payloadReader(options) };
  }

  const { read } = consumer((payload: SignUp) => void payload.userId, { parse: callable, maxPayloadDepth: 3 });

  expectTypeOf(read(message)).toEqualTypeOf<Promise<SignUp> | SignUp>();
  expectTypeOf(payloadReader<SignUp>({ parse: callable })(message)).toEqualTypeOf<Promise<SignUp> | SignUp>();
});

it("infers the payload from a parse function, with or without a promise", () => {
  const now = payloadReader({
    parse(content, delivered) {
      expectTypeOf(content).toEqualTypeOf<Buffer>();
      expectTypeOf(delivered).toEqualTypeOf<AmqpMessage>();
      return content.length;
    },
  });
  const later = payloadReader({ parse: async (content): Promise<string> => content.toString("latin1") });

  expectTypeOf(now(message)).toEqualTypeOf<Promise<number> | number>();
  const maybe = payloadReader({ parse: (content) => (content.length > 0 ? content : null) });
  const nothing = payloadReader({ parse: () => undefined });

  expectTypeOf(now(message)).toEqualTypeOf<Promise<number> | number>();
  expectTypeOf(later(message)).toEqualTypeOf<Promise<string> | string>();
  expectTypeOf(maybe(message)).toEqualTypeOf<Promise<Buffer | null> | Buffer | null>();
  expectTypeOf(nothing(message)).toEqualTypeOf<Promise<undefined> | undefined>();
});

it("knows nothing of plain JSON but what it is told", () => {
  expectTypeOf(payloadReader({})(message)).toEqualTypeOf<unknown>();
  expectTypeOf(payloadReader<SignUp>({ maxPayloadBytes: 1_000 })(message)).toEqualTypeOf<Promise<SignUp> | SignUp>();
});

it("takes a function of a type that is not known yet", () => {
  function readerOf<T>(decode: (content: Buffer) => T, later: () => Promise<T>) {
    const options: PayloadOptions<T> = { parse: later };
    return [payloadReader<T>({ parse: decode }), payloadReader(options), payloadReader({ parse: decode })] as const;
  }

  expectTypeOf(readerOf<SignUp>)
    .returns.items.exclude<undefined>()
    .toEqualTypeOf<(message: AmqpMessage) => Promise<SignUp> | SignUp>();
});

it("takes a schema of the payload only", () => {
  expectTypeOf<Declared<Input, SignUp>>().toExtend<StandardSchema<SignUp>>();
  expectTypeOf<{ parse: typeof callable }>().toExtend<PayloadOptions<SignUp>>();
  expectTypeOf<Declared<Input, SignUp>>().not.toExtend<StandardSchema<{ readonly other: string }>>();
  expectTypeOf<{ parse: Declared<Input, Input> }>().not.toExtend<PayloadOptions<SignUp>>();
  expectTypeOf<{ parse: { parse(value: unknown): SignUp } }>().not.toExtend<PayloadOptions<SignUp>>();
});
