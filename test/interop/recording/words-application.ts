/** What differs between the versions of the application. */
export interface WordsVersion {
  readonly version: string;
  readonly speakerImage: string;
  readonly speakers: number;
  readonly word: string;
}

/**
 * An OAM manifest, as JSON, of three components: `asker` linked to `speaker`, and `configured` with a configuration of its own.
 * `asker` runs on every host, the other two are spread.
 */
export function wordsApplication(components: string, { version, speakerImage, speakers, word }: WordsVersion): string {
  const manifest = {
    apiVersion: 'core.oam.dev/v1beta1',
    kind: 'Application',
    metadata: { name: 'words', annotations: { version, description: 'Words over a link and out of a configuration' } },
    spec: {
      components: [
        {
          name: 'speaker',
          type: 'component',
          properties: { image: `file://${components}/${speakerImage}` },
          traits: [{ type: 'spreadscaler', properties: { instances: speakers } }],
        },
        {
          name: 'asker',
          type: 'component',
          properties: { image: `file://${components}/asker.wasm`, id: 'asker' },
          traits: [
            {
              type: 'daemonscaler',
              properties: { instances: 2, spread: [{ name: 'everywhere', requirements: { zone: 'here' } }] },
            },
            {
              type: 'link',
              properties: {
                namespace: 'trellis-samples',
                package: 'words',
                interfaces: ['words'],
                target: { name: 'speaker', config: [{ name: 'link-words', properties: { why: 'because' } }] },
              },
            },
          ],
        },
        {
          name: 'configured',
          type: 'component',
          properties: {
            image: `file://${components}/configured.wasm`,
            config: [{ name: 'words', properties: { word } }],
          },
          traits: [{ type: 'spreadscaler', properties: { instances: 1 } }],
        },
      ],
    },
  };
  return JSON.stringify(manifest, undefined, 2);
}

/** The life of the application, version by version. */
export const WORDS_VERSIONS: readonly WordsVersion[] = [
  { version: 'v1', speakerImage: 'speaker-one.wasm', speakers: 1, word: 'first' },
  // More of one, and another configuration.
  { version: 'v2', speakerImage: 'speaker-one.wasm', speakers: 3, word: 'second' },
  // Another image.
  { version: 'v3', speakerImage: 'speaker-two.wasm', speakers: 3, word: 'second' },
];
