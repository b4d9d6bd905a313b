import { randomInt } from 'node:crypto';

const ADJECTIVES = (
  'amber ample azure brave bright brisk calm candid civil clear clever cosy crisp daring deft eager early fair famous fearless ' +
  'fleet fond frank fresh gentle glad golden grand green handy happy hardy honest humble jolly keen kind lively loyal lucid lucky ' +
  'merry mild modest neat nimble noble patient placid plain polite prompt proud quick quiet rapid ready royal rustic sage silent ' +
  'silver sincere smart snug sober solid sound spry stable steady still stout sunny sure swift tidy trim true trusty upbeat vivid ' +
  'warm watchful wild willing wise witty zesty'
).split(' ');

const NOUNS = (
  'acorn alder anchor arbor arch ash aspen badger bank basil beam bean beech birch bloom bough bramble branch breeze bridge brook ' +
  'canopy cedar clover cove creek cress crown dale delta dune elder elm fern field finch fjord flint forest fox garden gate glade ' +
  'glen grove harbor hazel heath hedge heron hill hollow holly ivy jasmine juniper kestrel lake larch lark laurel leaf linden ' +
  'lotus maple marsh meadow mesa mill mint moss oak olive orchard otter pear pergola pine plum poplar quarry quince reed ridge ' +
  'river robin rowan sage shore sparrow spruce stream summit thicket thistle thyme trail trellis tulip valley vine violet walnut ' +
  'willow wren yarrow'
).split(' ');

/** A name for people, new for each run of a host: `brisk-willow-4711`. */
export function friendlyName(): string {
  const pick = (words: readonly string[]): string => words[randomInt(words.length)]!;
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}-${String(randomInt(10_000)).padStart(4, '0')}`;
}
