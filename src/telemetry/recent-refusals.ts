import type { AuditRecord } from './audit.ts';

const CAPACITY = 5_000;

/**
 * The last 10,000 refusals, for `trellis explain`. Half of the room is for refusals of which there were few of their kind at the
 * time, so that a flood of one kind does not push out what somebody may ask about.
 */
export class RecentRefusals {
  readonly #few = new Ring();
  readonly #many = new Ring();

  /** @param few - There were not too many of its kind in this second to write each down. */
  add(record: AuditRecord, few: boolean): void {
    (few ? this.#few : this.#many).add(record);
  }

  /** Those with this id, oldest first. Reads through all of them: nobody asks often. */
  find(correlation: string): readonly AuditRecord[] {
    const found = [...this.#few.records, ...this.#many.records].filter((record) => record.correlation === correlation);
    return found.sort((a, b) => a.timeMs - b.timeMs);
  }
}

class Ring {
  readonly records: AuditRecord[] = [];
  #next = 0;

  add(record: AuditRecord): void {
    this.records[this.#next] = record;
    this.#next = (this.#next + 1) % CAPACITY;
  }
}
