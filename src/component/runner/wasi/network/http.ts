import type { Connections } from './connections.ts';
import type { NetworkGrants } from './grants.ts';
import { FutureTrailers, IncomingBody, OutgoingBody } from './http-bodies.ts';
import { streamErrorCode } from './http-errors.ts';
import { FutureIncomingResponse, IncomingResponse, send } from './http-exchange.ts';
import { Fields } from './http-fields.ts';
import { OutgoingRequest, RequestOptions } from './http-messages.ts';

/** Interfaces of `wasi:http` for sending requests; what belongs to serving them is not here. */
export function createHttp(grants: NetworkGrants, connections: Connections): Record<string, object> {
  return {
    'wasi:http/types': {
      Fields,
      FutureIncomingResponse,
      FutureTrailers,
      IncomingBody,
      IncomingResponse,
      OutgoingBody,
      OutgoingRequest,
      RequestOptions,
      httpErrorCode: streamErrorCode,
    },
    'wasi:http/outgoing-handler': {
      handle: (request: OutgoingRequest, options: RequestOptions | undefined) => send(request, options, grants, connections),
    },
  };
}
