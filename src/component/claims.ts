/** What a component says of itself, signed by an account key: the claims that `wash claims sign` puts into it. */
export interface EmbeddedClaims {
  /** Public key of the component, `M…`. */
  readonly subject: string;
  /** Public key of the account that signed, `A…`. */
  readonly issuer: string;
  readonly name?: string;
  readonly revision?: number;
  readonly version?: string;
  readonly tags?: readonly string[];
  readonly callAlias?: string;
  /** Milliseconds since the Unix epoch. */
  readonly notBeforeMs?: number;
  readonly expiresMs?: number;
  /** The JWT as it stands in the component. */
  readonly jwt: string;
}
