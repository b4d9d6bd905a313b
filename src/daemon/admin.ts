import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isLoopback } from '../config/loopback.ts';
import { TrellisError } from '../errors.ts';
import type { Alarm } from '../telemetry/alarms.ts';
import type { Metrics } from '../telemetry/metrics.ts';

const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 5_000;

/** What a host says of itself in other words than its state. */
const REASONS: Readonly<Record<string, string>> = { degraded: 'not connected', 'lame-duck': 'lame duck' };

/** What `/readyz` looks at. */
export interface Readiness {
  readonly ready: boolean;
  readonly state: string;
  readonly degraded: readonly string[];
  readonly connections?: { readonly ctl: boolean; readonly rpc: boolean };
  /** Refusals at start that an operator has accepted. */
  readonly allowed?: readonly string[];
  readonly alarms?: readonly Alarm[];
}

/** The running endpoint. */
export interface AdminServer {
  /** `http://127.0.0.1:43210`; the port that was taken if 0 was asked for. */
  readonly url: string;
  close(): Promise<void>;
}

/** What {@link startAdmin} takes. */
export interface AdminOptions {
  /** `address:port`. */
  readonly listen: string;
  readonly metrics: Metrics;
  /** `undefined` while the host is still starting. */
  readonly status: () => Readiness | undefined;
}

/**
 * Serves `/livez` (the event loop turns), `/readyz` (connected, serving and not draining) and `/metrics`. Answers of the
 * health paths as in wasmCloud 1.x: 200 `{"status":"ok"}`, else `{"status":"failure"}` (here with 503 and a reason).
 * @throws TRELLIS_ADMIN_LISTEN
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const at = options.listen.lastIndexOf(':');
  const host = options.listen.slice(0, at).replace(/^\[|\]$/g, '');
  // An `import` of this module would read all it offers, its WebSocket client too, which takes 15 MB and 50 ms to load.
  const { createServer } = process.getBuiltinModule('node:http');
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    void answer(options, isLoopback(host), request, response);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new TrellisError('TRELLIS_ADMIN_LISTEN', {
          message: `Health and metrics cannot listen on ${options.listen} (${String(error.code)})`,
          cause: error,
        }),
      ),
    );
    server.listen(Number(options.listen.slice(at + 1)), host, resolve);
  });
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  options: AdminOptions,
  localOnly: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, body: string, type = 'application/json'): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, '{"error":"only GET and HEAD"}');
  // A web page can point a name of its own at 127.0.0.1 and read what a browser on this computer gets back.
  if (localOnly && !localHostHeader(request.headers.host)) return send(403, '{"error":"not addressed as this computer"}');
  switch (request.url?.split('?')[0]) {
    case '/livez':
      return send(200, '{"status":"ok"}');
    case '/readyz': {
      const status = options.status();
      const alarms = (status?.alarms ?? []).map(({ sinceMs, ...alarm }) => ({
        ...alarm,
        since: new Date(sinceMs).toISOString(),
      }));
      const accepted = status?.allowed ?? [];
      // An alarm needs a person; taking the host out of service would not help.
      const more = { ...(accepted.length === 0 ? {} : { allowed: accepted }), ...(alarms.length === 0 ? {} : { alarms }) };
      if (status?.ready === true) return send(200, JSON.stringify({ status: 'ok', ...more }));
      const { state, degraded, connections } = status ?? { state: 'starting', degraded: [] };
      const reason = REASONS[state] ?? state;
      return send(503, JSON.stringify({ status: 'failure', reason, state, degraded, connections, ...more }));
    }
    case '/metrics':
      try {
        return send(200, await options.metrics.text(), options.metrics.contentType);
      } catch {
        return send(500, '{"error":"metrics could not be read"}');
      }
    default:
      return send(404, '{"error":"try /livez, /readyz or /metrics"}');
  }
}

function localHostHeader(header: string | undefined): boolean {
  return header === undefined || isLoopback(header.replace(/:\d+$/, ''));
}
