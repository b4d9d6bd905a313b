/** Numbers for what a runner asks its host: imports, and whether there are links. */
export class ImportIds {
  #last = 0;

  /** The next number, but none that is still open. */
  take(isOpen: (id: number) => boolean): number {
    do this.#last = (this.#last + 1) >>> 0;
    while (isOpen(this.#last));
    return this.#last;
  }
}
