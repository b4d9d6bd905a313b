import { isToken } from '../../../ids.ts';
import { MESSAGING_CONSUMER } from '../../../wit/wire/messaging.ts';
import { ImportFailed } from '../import-failed.ts';
import { WitError } from '../wasi/wit-error.ts';
import type { GuestFunctions, WireCalls } from './twins.ts';

/**
 * `wasmcloud:messaging@0.3.0` for guests, over 0.2.0: a client is the name of a link, a message is a subject with bytes. What the wire has no
 * place for, metadata and a type of content, a message has only as long as it is here.
 */

/** How long a reply is waited for where the guest does not say; so long do hosts of 1.x wait for any answer. */
const REPLY_TIMEOUT_MS = 10_000;
/** Longest name of a link. */
const MAX_LINK_CHARS = 64;

type Metadata = readonly (readonly [key: string, value: string])[];
type MessagingError =
  | { readonly tag: 'timeout' }
  | { readonly tag: 'connection' | 'permission-denied' | 'other'; readonly val: string };

/** `broker-message` of 0.2.0. */
interface WireMessage {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly replyTo: string | undefined;
}

const refuse = (error: MessagingError): never => {
  throw new WitError(error) as unknown as Error;
};
const other = (val: string): MessagingError => ({ tag: 'other', val });

/** `wasmcloud:messaging/types` `client`. */
class Client {
  readonly #name: string;
  #connected = true;

  constructor(name: string) {
    this.#name = name;
  }

  static connect(name: string): Client {
    if (name !== '' && !isToken(name, MAX_LINK_CHARS)) refuse({ tag: 'connection', val: 'a client is called after a link' });
    return new Client(name);
  }

  disconnect(): void {
    this.#connected = false;
  }

  /** The link that its messages take; `undefined` leaves the choice to `set-link-name`. */
  static link(client: Client): string | undefined {
    if (!client.#connected) refuse({ tag: 'connection', val: 'the client is disconnected' });
    return client.#name === '' || client.#name === 'default' ? undefined : client.#name;
  }
}

/** `wasmcloud:messaging/types` `message`. */
class Message {
  #data: Uint8Array;
  #contentType: string | undefined;
  #metadata: Metadata | undefined;
  readonly #received: WireMessage | undefined;

  constructor(data: Uint8Array, received?: WireMessage) {
    this.#data = data;
    this.#received = received;
  }

  topic(): string | undefined {
    return this.#received?.subject;
  }

  contentType(): string | undefined {
    return this.#contentType;
  }

  setContentType(contentType: string): void {
    this.#contentType = contentType;
  }

  data(): Uint8Array {
    return this.#data;
  }

  setData(data: Uint8Array): void {
    this.#data = data;
  }

  metadata(): Metadata | undefined {
    return this.#metadata;
  }

  addMetadata(key: string, value: string): void {
    this.removeMetadata(key);
    this.#metadata = [...(this.#metadata ?? []), [key, value]];
  }

  setMetadata(metadata: Metadata): void {
    this.#metadata = metadata;
  }

  removeMetadata(key: string): void {
    this.#metadata = this.#metadata?.filter(([known]) => known !== key);
  }

  static received(message: WireMessage): Message {
    return new Message(message.body, message);
  }

  /** What is sent of it. */
  static body(message: Message): Uint8Array {
    if ((message.#metadata ?? []).length > 0) refuse(other('metadata cannot be sent along a link'));
    return message.#data;
  }

  /** Where a reply to it goes. */
  static replyTo(message: Message): string {
    if (message.#received === undefined) return refuse(other('a message that was not received has no sender'));
    return message.#received.replyTo ?? refuse(other('the sender of the message wants no reply'));
  }
}

/** `wasmcloud:messaging/request-reply` `request-options`. There is one reply on the wire, so how many are expected changes nothing. */
class RequestOptions {
  timeoutMs: number | undefined;

  setTimeoutMs(timeoutMs: number): void {
    this.timeoutMs = timeoutMs;
  }

  setExpectedReplies(_count: number): void {}
}

/** Returns what a guest imports of `wasmcloud:messaging@0.3.0`. */
export function createMessaging(wire: WireCalls): Record<string, object> {
  const call = (func: string, values: readonly unknown[], link?: string): Promise<unknown> =>
    wire(MESSAGING_CONSUMER.name, func, values, link).catch(told);
  const publish = async (subject: string, message: Message, link?: string): Promise<void> => {
    await call('publish', [{ subject, body: Message.body(message), replyTo: undefined }], link);
  };
  return {
    'wasmcloud:messaging/types@0.3.0': { Client, Message },
    'wasmcloud:messaging/producer@0.3.0': {
      send: async (client: Client, topic: string, message: Message) => publish(topic, message, Client.link(client)),
    },
    'wasmcloud:messaging/request-reply@0.3.0': {
      RequestOptions,
      request: async (client: Client, topic: string, message: Message, options: RequestOptions | undefined) => {
        const values = [topic, Message.body(message), options?.timeoutMs ?? REPLY_TIMEOUT_MS];
        return [Message.received((await call('request', values, Client.link(client))) as WireMessage)];
      },
      reply: async (to: Message, message: Message) => publish(Message.replyTo(to), message),
    },
  };
}

/** `wasmcloud:messaging/incoming-handler`, which a guest exports. */
export function messageHandler(guest: GuestFunctions): GuestFunctions {
  return {
    handleMessage: async (message) => {
      try {
        await guest['handle']!(Message.received(message as WireMessage));
      } catch (error) {
        if (!(error instanceof Error) || !Object.hasOwn(error, 'payload')) throw error;
        const { tag, ...rest } = (error as Error & { payload: MessagingError }).payload;
        const payload = 'val' in rest ? rest.val : tag;
        throw Object.assign(new Error('the guest returned an error'), { payload });
      }
    },
  };
}

/** Why a call failed, as the error of the function that made it. What is no failure of the call traps, as ever. */
function told(error: unknown): never {
  if (error instanceof WitError) return refuse(other(error.payload as string));
  if (!(error instanceof ImportFailed)) throw error;
  switch (error.code) {
    case 'TRELLIS_INVOKE_TIMEOUT':
    case 'TRELLIS_INVOKE_TARGET_TIMEOUT':
      return refuse({ tag: 'timeout' });
    case 'TRELLIS_LINK_MISSING':
    case 'TRELLIS_INVOKE_NO_RESPONDERS':
      return refuse({ tag: 'connection', val: error.code });
    case 'TRELLIS_INVOKE_DENIED':
    case 'TRELLIS_INVOKE_SCOPE':
      return refuse({ tag: 'permission-denied', val: error.code });
    default:
      return refuse(other(error.code ?? 'the message could not be sent'));
  }
}
