/** A result that is there before the guest has returned: what it is made of may still come, and the call lasts as long as the guest runs. */
export class EarlyResult {
  /** The result; rejects with what the guest failed with before there was one. */
  readonly value: Promise<unknown>;
  /** When the guest has returned; rejects with what it failed with. */
  readonly guest: Promise<void>;

  constructor(value: Promise<unknown>, guest: Promise<void>) {
    this.value = value;
    this.guest = guest;
    // Who asks for neither still has to hear of it in one place only.
    value.catch(() => {});
    guest.catch(() => {});
  }
}
