import { linkKey } from '../../ids.ts';
import { ALL_LINKED, FRAME, type FrameWriter } from './frames.ts';
import type { ImportIds } from './import-ids.ts';
import type { Instance } from './instances.ts';

/** Longer names of links and interfaces are no names. */
const MAX_NAME_CHARS = 255;
/** Interfaces in one question; their names fit into its frame. */
const MAX_INTERFACES = 128;
/** Nothing else can be a name of a link or an interface, and the host splits at line feeds. */
const PLAIN = /^[\x21-\x7e]+$/;
const DEFAULT_LINK = 'default';

interface Question {
  readonly callId: number;
  /** Gives the index of the first interface without such a link, or `undefined`. */
  readonly resolve: (missing: number | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Which links the calls of a guest take (`wasmcloud:bus/lattice.set-link-name`). The choice belongs to the invocation: it is gone at the end of
 * the call, and other calls know nothing of it. Whether there is such a link, the host knows.
 */
export class LinkNames {
  readonly #writer: FrameWriter;
  readonly #ids: ImportIds;
  readonly #questions = new Map<number, Question>();

  constructor(writer: FrameWriter, ids: ImportIds) {
    this.#writer = writer;
    this.#ids = ids;
  }

  /**
   * Sends further calls of these interfaces along the link `name`: of all of them, or, where one has no such link, of none. Resolves with why
   * not, in the words of 1.x hosts. Rejects where nothing can be set: outside of a call, and when the call ends.
   */
  async set(instance: Instance, name: string, interfaces: readonly string[]): Promise<string | undefined> {
    const { callId } = instance;
    if (callId === 0) throw new Error('set-link-name was called outside of a call');
    if (interfaces.length > MAX_INTERFACES) throw new Error(`set-link-name takes ${MAX_INTERFACES} interfaces at a time`);
    const names = interfaces.map(linkKey);
    const odd = names.findIndex((iface) => !isName(iface) || !isName(name));
    const missing = odd >= 0 || names.length === 0 ? odd : ((await this.#ask(callId, name, names)) ?? -1);
    if (missing >= 0) {
      return `interface \`${interfaces[missing]!}\` does not have an existing link with name \`${name}\``;
    }
    if (instance.callId !== callId) throw new Error('the call has ended');
    for (const iface of names) {
      if (name === DEFAULT_LINK) instance.linkNames.delete(iface);
      else instance.linkNames.set(iface, name);
    }
    return undefined;
  }

  /** Takes a `links` frame. */
  onLinks(id: number, body: Buffer): void {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    const missing = body.readUInt16LE(0);
    question?.resolve(missing === ALL_LINKED ? undefined : missing);
  }

  /** Takes an `importFail` frame; false if it answers no question of these. */
  onFail(id: number, reason: string): boolean {
    const question = this.#questions.get(id);
    if (question === undefined) return false;
    this.#questions.delete(id);
    question.reject(new Error(`set-link-name failed: ${reason}`));
    return true;
  }

  /** Ends the questions of a call. */
  endCall(callId: number): void {
    for (const [id, question] of this.#questions) {
      if (question.callId !== callId) continue;
      this.#questions.delete(id);
      question.reject(new Error('the call has ended'));
    }
  }

  #ask(callId: number, name: string, interfaces: readonly string[]): Promise<number | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const id = this.#ids.take((open) => this.#questions.has(open));
    this.#questions.set(id, { callId, resolve, reject });
    const text = Buffer.from([name, ...interfaces].map((each) => `${each}\n`).join(''), 'latin1');
    this.#writer.open(FRAME.askLinks, id, 4 + text.length);
    this.#writer.u32(callId);
    this.#writer.bytes(text);
    return promise;
  }
}

function isName(text: string): boolean {
  return text.length <= MAX_NAME_CHARS && PLAIN.test(text);
}
