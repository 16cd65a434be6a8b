/**
 * What is used of a Standard Schema, by its shape, so that no package is needed for it. zod, valibot and arktype make such schemas.
 * Shape: `P` is the type of what the schema gives. A schema may be callable too, as those of arktype are.
 * Source: Standard Schema, version 1.
 */
export interface StandardSchema<P> {
  readonly "~standard": {
    readonly version: 1;
    /** The library that made the schema. */
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardAnswer<P> | Promise<StandardAnswer<P>>;
    /** Only there for the compiler. */
    readonly types?: { readonly output: P } | undefined;
  };
}

/** A value that is accepted, with what the schema made of it, or why it is refused. */
export type StandardAnswer<P> =
  | { readonly value: P; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong with a value. `path`: where, from the outside in. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
