import type { WitInterface } from '../types.ts';
import { BYTES, func, option, record, result, STRING, U32 } from './type-builders.ts';

/** `wasmcloud:messaging@0.2.0`, which is also the form on the wire of 0.3.0: its messages are resources. */

const MESSAGE = record({ subject: STRING, body: BYTES, 'reply-to': option(STRING) });
const done = result(null, STRING);

/** What components send. */
export const MESSAGING_CONSUMER: WitInterface = {
  name: 'wasmcloud:messaging/consumer@0.2.0',
  functions: [
    func('request', { subject: STRING, body: BYTES, 'timeout-ms': U32 }, result(MESSAGE, STRING)),
    func('publish', { msg: MESSAGE }, done),
  ],
};

/** What they are told. */
export const MESSAGING_HANDLER: WitInterface = {
  name: 'wasmcloud:messaging/handler@0.2.0',
  functions: [func('handle-message', { msg: MESSAGE }, done)],
};
