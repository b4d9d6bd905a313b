import type { ServerResponse } from 'node:http';
import { AnsweringServer, type Asked } from './answering-server.ts';
import type { CertificateFiles } from './certificates.ts';
import { digestOf } from './registry.ts';

type Override = (response: ServerResponse, asked: Asked) => void;

/** A registry of one image `acme/x:1` that keeps to the protocol but where a test says otherwise. */
export class ScriptedRegistry extends AnsweringServer {
  readonly component: Uint8Array;
  readonly manifest: Record<string, unknown>;
  /** In place of the honest answer for a manifest, for a blob, or before either. */
  onManifest: Override | undefined;
  onBlob: Override | undefined;
  before: ((response: ServerResponse, asked: Asked) => boolean) | undefined;

  constructor(component: Uint8Array, certificates?: Pick<CertificateFiles, 'serverCertFile' | 'serverKeyFile'>) {
    super((asked, response) => {
      if (this.before?.(response, asked) === true) return;
      if (asked.path.startsWith('/v2/acme/x/manifests/')) {
        if (this.onManifest !== undefined) return this.onManifest(response, asked);
        return void response
          .writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' })
          .end(JSON.stringify(this.manifest));
      }
      if (asked.path.startsWith('/v2/acme/x/blobs/')) {
        if (this.onBlob !== undefined) return this.onBlob(response, asked);
        return void response.writeHead(200, { 'content-length': component.length }).end(component);
      }
      response.writeHead(404).end();
    }, certificates);
    this.component = component;
    this.manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.wasm.config.v0+json', digest: digestOf(Buffer.from('{}')), size: 2 },
      layers: [{ mediaType: 'application/wasm', digest: digestOf(component), size: component.length }],
    };
  }

  /** The layer that the manifest names, to change it. */
  get layer(): Record<string, unknown> {
    return (this.manifest['layers'] as Record<string, unknown>[])[0]!;
  }
  get ref(): string {
    return `${this.authority}/acme/x:1`;
  }
  /** Requests for blobs so far. */
  get blobsAsked(): number {
    return this.asked.filter(({ path }) => path.includes('/blobs/')).length;
  }
}
