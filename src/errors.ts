/**
 * Every error Trellis can report: one class, stable codes, one catalogue. `docs/errors.md` is generated from here.
 *
 * - `user`: the caller or operator can fix it (settings, arguments, a component that cannot be loaded).
 * - `denied`: refused on purpose (trust, permissions, policy).
 * - `peer`: another process or machine misbehaved or is away.
 * - `system`: this host could not do its part.
 */
export type ErrorCategory = 'user' | 'denied' | 'peer' | 'system';

/** Process exit codes the commands and the daemon use. */
export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unreachable: 5,
  timeout: 6,
  componentFailed: 7,
  latticeLost: 69,
  config: 78,
} as const;

interface CatalogueEntry {
  readonly category: ErrorCategory;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly exitCode: number;
  /** One sentence: what happened. */
  readonly meaning: string;
  /** One sentence: the command or setting that fixes it. */
  readonly remedy: string;
}

const entry = (
  category: ErrorCategory,
  exitCode: number,
  retryable: boolean,
  meaning: string,
  remedy: string,
): CatalogueEntry => ({ category, retryable, exitCode, meaning, remedy });

/** The catalogue, in the order of the path. Codes are stable: a code is never reused for another meaning. */
export const CATALOGUE = {
  // --- names and settings
  TRELLIS_ID_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A name holds characters that cannot be part of a NATS subject, or is too long.',
    'Use A-Z, a-z, 0-9, _ and - only.',
  ),
  TRELLIS_USAGE: entry('user', EXIT.usage, false, 'The command line could not be understood.', 'Run the command with --help.'),
  TRELLIS_INTERNAL: entry(
    'system',
    EXIT.unexpected,
    false,
    'Trellis met a state it did not expect.',
    'Report it with the log lines around it.',
  ),
  // --- config
  TRELLIS_CONFIG_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'The configuration has problems; each is reported with its START code.',
    'Run node host.js --check-config and follow the fix of each problem.',
  ),
  TRELLIS_HOST_DUPLICATE: entry(
    'denied',
    EXIT.config,
    false,
    'Another process runs under the identity of this host.',
    'Stop the other process, or give this host a seed of its own: trellis keys gen server --out <file>, hostSeedFile.',
  ),
  TRELLIS_START_REFUSED: entry(
    'denied',
    EXIT.config,
    false,
    'The host does not serve with these NATS servers and credentials; each reason is reported with its START code.',
    'Run trellis doctor, which shows every check, and follow the fix of each.',
  ),
  TRELLIS_ADMIN_LISTEN: entry(
    'user',
    EXIT.config,
    false,
    'Health and metrics cannot listen on the configured address.',
    'Set admin.listen to a free address:port, to 127.0.0.1:0 for any free port, or to false.',
  ),
  // --- control interface
  TRELLIS_CONTROL_IGNORED: entry(
    'denied',
    EXIT.denied,
    false,
    'A message on a control subject was no request: it named no inbox for an answer, or a server sent what it keeps.',
    'If a tool of yours sent it, have it ask with an inbox for the answer. Otherwise find out who may use the ctl account.',
  ),
  TRELLIS_CONTROL_DENIED: entry(
    'denied',
    EXIT.denied,
    false,
    'The host does not carry out this control request from whoever sent it: it was not signed, or not by somebody with the right to it.',
    'Sign it: trellis … --sign-seed-file FILE --sign-delegation-file FILE (docs/lattice.md); the detail says what was wrong with it.',
  ),
  TRELLIS_CONTROL_FAILED: entry(
    'user',
    EXIT.unexpected,
    false,
    'A control request could not be carried out; the answer and the record say why.',
    'Do what the answer says, and send it again.',
  ),
  TRELLIS_CONTROL_BUSY: entry(
    'peer',
    EXIT.unreachable,
    true,
    'A host gets more control requests, or larger ones, than it takes.',
    'Send fewer at once; a host takes 2,000 a second, each of 1 MiB at most.',
  ),
  // --- nats
  TRELLIS_NATS_SUBJECT_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A subject, reply subject or queue group cannot be sent to NATS.',
    'Use tokens of A-Z, a-z, 0-9, _ and - separated by single dots, at most 1,024 bytes.',
  ),
  TRELLIS_NATS_HEADER_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A header name, value or status could end its line and was not sent.',
    'Remove line breaks from the value.',
  ),
  TRELLIS_NATS_PAYLOAD_TOO_LARGE: entry(
    'user',
    EXIT.usage,
    false,
    'A message is larger than the server accepts.',
    'Send less, or raise max_payload on every server of the lattice.',
  ),
  TRELLIS_NATS_SERVERS_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A NATS server address could not be understood.',
    'Write nats://host:port or tls://host:port, without user, password, token or path.',
  ),
  TRELLIS_NATS_TLS_REQUIRED: entry(
    'user',
    EXIT.config,
    false,
    'A connection beyond loopback would not be encrypted.',
    'Give the server a certificate and use tls:// with tls.caFile, or connect to a leaf node on loopback.',
  ),
  TRELLIS_NATS_TLS_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'The TLS settings of a connection cannot work.',
    'Check tls.caFile, tls.certFile, tls.keyFile and tls.serverName.',
  ),
  TRELLIS_NATS_TLS_FAILED: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The TLS handshake with the NATS server failed.',
    'Check tls.caFile, the name in the server certificate and its dates.',
  ),
  TRELLIS_NATS_CREDENTIALS_REQUIRED: entry(
    'user',
    EXIT.config,
    false,
    'A connection beyond loopback has no credentials.',
    'Set credsFile, or jwtFile and seedFile, for this partition.',
  ),
  TRELLIS_NATS_CREDENTIALS_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A credentials file could not be read or understood.',
    'Check the path and the file; it holds a user JWT and a user seed.',
  ),
  TRELLIS_NATS_AUTH_REFUSED: entry(
    'denied',
    EXIT.denied,
    true,
    'The NATS server refused the login.',
    'Check that the credentials belong to an account of this server and have not expired; the server log (debug) has the reason.',
  ),
  TRELLIS_NATS_PERMISSION: entry(
    'denied',
    EXIT.denied,
    false,
    'The NATS server refused a subject to these credentials.',
    'Grant the subject to this user, or remove what needs it.',
  ),
  TRELLIS_NATS_UNREACHABLE: entry(
    'peer',
    EXIT.unreachable,
    true,
    'No NATS server answered.',
    'Check that the server runs at the configured address.',
  ),
  TRELLIS_NATS_DISCONNECTED: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The connection to NATS is interrupted; nothing was sent.',
    'Wait for the connection to come back.',
  ),
  TRELLIS_NATS_BACKLOG: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The NATS server does not take what is sent; too much is waiting and the message was dropped.',
    'Check the server and the network between; the connection is replaced when it stays silent.',
  ),
  TRELLIS_NATS_CLOSED: entry('system', EXIT.unreachable, false, 'The connection to NATS is closed.', 'Start the process again.'),
  TRELLIS_NATS_NO_RESPONDERS: entry(
    'peer',
    EXIT.notFound,
    true,
    'Nobody listens on the subject of a request.',
    'Start the service, or check lattice and id.',
  ),
  TRELLIS_NATS_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'A request was not answered in time.',
    'Check the service, or allow it more time.',
  ),
  TRELLIS_NATS_PROTOCOL: entry('peer', EXIT.unreachable, true, 'The NATS server reported a problem.', 'See the server log.'),
  TRELLIS_LEAF_INPUT: entry(
    'user',
    EXIT.usage,
    false,
    'The configuration of a leaf node could not be written from what was given.',
    'Correct the value that is named; trellis leaf config --help has examples.',
  ),
  TRELLIS_LEAF_RIGHTS: entry(
    'denied',
    EXIT.denied,
    false,
    'The user of the leaf node lacks a right at the hub; what needs it would fail without a word.',
    'Grant the subject to the user of the leaf node at the hub (kinds host-ctl-leaf and host-rpc-leaf have all of them).',
  ),
  TRELLIS_NATS_SERVER_MISSING: entry(
    'user',
    EXIT.notFound,
    false,
    'No nats-server program was found on this machine.',
    'Run npm start in a clone, which fetches one, or set NATS_SERVER to the path of one (2.9.10 or later).',
  ),
  TRELLIS_NATS_SERVER_FAILED: entry(
    'system',
    EXIT.unreachable,
    true,
    'The nats-server that Trellis started did not run as asked.',
    'Read the end of its log in the message; free the port or correct the configuration it names.',
  ),
  // --- wrpc
  // --- wit
  TRELLIS_WIT_MALFORMED: entry(
    'user',
    EXIT.config,
    false,
    'The file is not a well-formed WebAssembly component.',
    'Build the component again; `wasm-tools validate` says what is wrong with a file.',
  ),
  TRELLIS_WIT_UNSUPPORTED: entry(
    'user',
    EXIT.config,
    false,
    'The component uses a feature of the component model that cannot cross a lattice.',
    'Remove the named feature from the WIT of the component.',
  ),
  TRELLIS_WIT_TYPE_TEXT: entry(
    'user',
    EXIT.usage,
    false,
    'The text is not a WIT type.',
    'Write it as in WIT, for example: result<option<list<u8>>, variant{a, other(string)}>.',
  ),
  TRELLIS_WIT_VALUE: entry(
    'user',
    EXIT.usage,
    false,
    'A value does not fit its WIT type.',
    'Give the value in the JSON form of its type; `trellis wire --help` lists the forms.',
  ),
  TRELLIS_WIT_BYTES: entry(
    'user',
    EXIT.usage,
    false,
    'The bytes are not an encoding of the WIT type.',
    'Check the type and the bytes with `trellis wire decode`.',
  ),
  // --- trust (verification)
  TRELLIS_KEY_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A key or seed is not a well-formed nkey of the kind that is needed here.',
    'Make a new one with `trellis keys gen`, or check that the setting names the right file.',
  ),
  TRELLIS_TRUST_ISSUER_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'An entry of the cluster issuers is not a public cluster key (56 characters, beginning with C).',
    'List public keys as printed by `trellis keys gen cluster`, separated by commas; never a seed.',
  ),
  TRELLIS_TRUST_CLAIMS_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A name or subject cannot be written into a token.',
    'Use printable ASCII names of the documented length.',
  ),
  TRELLIS_DELEGATION_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'This member has no delegation that counts: it could not be read, is for another key, or does not verify.',
    'Mint one for this host (trellis keys delegate) and see trust.delegationFile, trust.clusterSeedFile and trust.clusterIssuers.',
  ),
  TRELLIS_VERIFY_UNSIGNED: entry(
    'denied',
    EXIT.denied,
    false,
    'The message carries no signed envelope.',
    'Sign the call with a cluster key, or set trust.verify to observe while a lattice migrates.',
  ),
  TRELLIS_VERIFY_MALFORMED: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope is too large or not in the one accepted spelling.',
    'Check that the sender speaks envelope version 2.',
  ),
  TRELLIS_VERIFY_FORM: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope begins with a header this host does not know, or one for another purpose.',
    'Check that the sender speaks envelope version 2.',
  ),
  TRELLIS_VERIFY_ISSUER: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope was signed by a key that is not among the cluster issuers.',
    'Add the public key to WASMCLOUD_CLUSTER_ISSUERS if it should be trusted.',
  ),
  TRELLIS_VERIFY_SCOPE: entry(
    'denied',
    EXIT.denied,
    false,
    'The signer may not speak for this caller, or not answer for this component.',
    'Have its delegation name the component (trellis keys delegate --origins, --targets), or run it on a host that may.',
  ),
  TRELLIS_VERIFY_DELEGATION: entry(
    'denied',
    EXIT.denied,
    true,
    'The signer names a delegation that this host does not know, or shows one that is not sound.',
    'Send again, so that the signer shows its delegation; if it stays, mint a new one (trellis keys delegate).',
  ),
  TRELLIS_VERIFY_DELEGATION_EXPIRED: entry(
    'denied',
    EXIT.denied,
    true,
    'The delegation of the signer is not valid at this time.',
    'Renew the delegation of the sending host; if it is new, synchronise the clocks (NTP).',
  ),
  TRELLIS_VERIFY_DELEGATION_BUSY: entry(
    'denied',
    EXIT.denied,
    true,
    'This host takes no new delegation now: it met too many bad ones, or remembers as many as it may.',
    'Send again later; find out who sends delegations that do not verify.',
  ),
  TRELLIS_VERIFY_EPOCH: entry(
    'denied',
    EXIT.denied,
    false,
    'An issuer set or a delegation belongs to an epoch that is over.',
    'Mint a new delegation under the current issuer set; an epoch never goes down.',
  ),
  TRELLIS_VERIFY_REVOKED: entry(
    'denied',
    EXIT.denied,
    false,
    'The delegation of the signer has been revoked.',
    'Find out why it was revoked; a host that is trusted again needs a new delegation.',
  ),
  TRELLIS_VERIFY_STALE: entry(
    'denied',
    EXIT.denied,
    true,
    'This host has not seen the list of revocations for too long, so it believes no signer.',
    'Bring its control connection back; see trust.maxStaleMs.',
  ),
  TRELLIS_VERIFY_EARLY: entry(
    'denied',
    EXIT.denied,
    true,
    "The envelope was issued ahead of this host's clock, further than allowed.",
    'Synchronise the clocks of both machines (NTP).',
  ),
  TRELLIS_VERIFY_EXPIRED: entry(
    'denied',
    EXIT.denied,
    true,
    'The envelope expired before it was accepted.',
    'Send again; if it happens often, synchronise the clocks (NTP).',
  ),
  TRELLIS_VERIFY_LIFETIME: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope asks for a longer life than this host allows.',
    'Lower trust.tokenLifetimeMs at the sender.',
  ),
  TRELLIS_VERIFY_FENCED: entry(
    'denied',
    EXIT.denied,
    true,
    'The envelope was issued before this host started, so it may already have run.',
    'Send again with a new envelope.',
  ),
  TRELLIS_VERIFY_LATTICE: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope was made for another lattice.',
    'Give both sides the same lattice name.',
  ),
  TRELLIS_VERIFY_FOREIGN: entry(
    'denied',
    EXIT.denied,
    false,
    'The call came from another NATS account, and nothing here lets that lattice, caller or function in.',
    'If it should pass, list it in trust.foreign; if not, take the export back (trellis auth unshare).',
  ),
  TRELLIS_VERIFY_TARGET: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope was made for another component, interface or function.',
    'Send it to the component it names.',
  ),
  TRELLIS_VERIFY_BINDING: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope was made for another subject or reply subject.',
    'Across NATS accounts share the component (trellis auth share), or with mapped subjects set trust.bind to logical; otherwise somebody re-sent it.',
  ),
  TRELLIS_VERIFY_HEADERS: entry(
    'denied',
    EXIT.denied,
    false,
    'The plain headers source-id or link-name contradict the envelope.',
    'Send the same values in both, or leave the plain headers out.',
  ),
  TRELLIS_VERIFY_FIELDS: entry(
    'denied',
    EXIT.denied,
    false,
    'A field of a wasmCloud 0.82 message contradicts its token, or has no place there.',
    'Send what was signed: the id, the caller, and neither contract nor link with an actor key.',
  ),
  TRELLIS_VERIFY_LINK: entry(
    'denied',
    EXIT.denied,
    false,
    'The caller has no link to this component and interface.',
    'Add the link, or list the caller in trust.unlinkedOrigins.',
  ),
  TRELLIS_VERIFY_REPLAYED: entry(
    'denied',
    EXIT.denied,
    false,
    'The envelope has already been used.',
    'Make a new envelope for every call.',
  ),
  TRELLIS_VERIFY_REPLAY_FULL: entry(
    'denied',
    EXIT.denied,
    true,
    'The replay memory is full of envelopes that have not expired, so no new one is taken.',
    'Raise trust.replayMaxEntries or lower trust.tokenLifetimeMs.',
  ),
  TRELLIS_VERIFY_FLOODED: entry(
    'denied',
    EXIT.denied,
    true,
    'So many forged messages arrive that a message without an admission pass gets no signature check.',
    'Find who sends them (their origin and signer stand in the log), and give callers control credentials, so that they get a pass.',
  ),
  TRELLIS_VERIFY_PAYLOAD: entry(
    'denied',
    EXIT.denied,
    false,
    'The payload is not the one that was signed.',
    'Send again; if it happens often, somebody alters messages.',
  ),
  TRELLIS_VERIFY_SIGNATURE: entry(
    'denied',
    EXIT.denied,
    false,
    'The signature does not fit the envelope and its issuer.',
    'Check that the sender signs with the key it names.',
  ),
  TRELLIS_VERIFY_UNCONFIRMED: entry(
    'denied',
    EXIT.denied,
    false,
    'The caller did not confirm that this host shall run the call: a replayed copy, or a caller that cannot.',
    'For a caller of an older version, update it, or set replay to local for this component.',
  ),
  TRELLIS_VERIFY_FRAME: entry(
    'denied',
    EXIT.denied,
    true,
    'A frame of a stream or future was lost, altered or not sent by the peer.',
    'Call again; if it happens often, look for whoever else may publish to the inboxes of this lattice (trellis_denials_total counts such frames).',
  ),
  TRELLIS_VERIFY_UNRELATED: entry(
    'denied',
    EXIT.denied,
    false,
    'A signed reply belongs to another call.',
    'Send again; if it happens often, somebody re-sends replies.',
  ),
  TRELLIS_VERIFY_SERVER: entry(
    'denied',
    EXIT.denied,
    false,
    'A signed reply comes from another component than the one that was called.',
    'Send again; if it happens often, somebody re-sends replies.',
  ),
  TRELLIS_VERIFY_FAILED: entry(
    'system',
    EXIT.unexpected,
    false,
    'The verifier itself failed, so the message was refused.',
    'Report it with the log lines around it.',
  ),
  TRELLIS_TRUST_STORE: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The trust bucket of the lattice cannot be read or written.',
    'Check that JetStream is on for the ctl account and that the ctl user has the rights of config/permissions/host-ctl.yaml, or set trust.store to off.',
  ),
  TRELLIS_TRUST_FILE: entry(
    'system',
    EXIT.config,
    false,
    'The file in stateDir that keeps issuer epochs and revocations cannot be used.',
    'Put trust.clusterIssuers in order (trellis keys issuers shows the current set); remove the file only if you know that no issuer or host was revoked.',
  ),
  TRELLIS_TRUST_ROLLBACK: entry(
    'peer',
    EXIT.denied,
    false,
    'The trust bucket went back to an earlier state, or holds a text that nobody who may sign has signed.',
    'Find out who writes to it: only hosts, trellis issuer and operators should have ctl credentials. Hosts keep the later state.',
  ),
  TRELLIS_LATTICE_DATA: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The links, claims or configurations of the lattice cannot be read or written.',
    'Check that JetStream is on for the ctl account and that the ctl user has the rights of config/permissions/host-ctl.yaml.',
  ),
  TRELLIS_LATTICE_ENTRY: entry(
    'peer',
    EXIT.notFound,
    false,
    'An entry of the lattice data is not what its key promises. It is left as it is.',
    'Look at the key with nats kv get, find out who wrote it, and delete it there.',
  ),
  TRELLIS_CONFIG_MISSING: entry(
    'user',
    EXIT.notFound,
    false,
    'A named configuration does not exist on the lattice.',
    'Put it there with trellis config put (or wash config put), or correct its name.',
  ),
  TRELLIS_ROTATION_WAITING: entry(
    'peer',
    EXIT.timeout,
    true,
    'Some hosts are not ready for the next step of the rotation; nothing is lost by waiting.',
    'See to the hosts that are named, then run the same command again: it goes on where it stopped. --skip-host leaves one behind.',
  ),
  TRELLIS_ROTATION_STATE: entry(
    'user',
    EXIT.usage,
    false,
    'The issuers of this lattice do not allow what was asked.',
    'See them with: trellis keys issuers',
  ),
  TRELLIS_DELEGATION_REFUSED: entry(
    'denied',
    EXIT.denied,
    false,
    'The issuer service does not sign a delegation for this host or operator.',
    'Add the public key of the host, of its NATS ctl user or of the operator to the allow-list of trellis issuer; its log has the reason.',
  ),
  TRELLIS_DELEGATION_SCOPE: entry(
    'denied',
    EXIT.denied,
    false,
    'The delegation of this host does not name a component that the host was told to run, so nobody would believe what it answers.',
    'Name the component in the delegation: in the allow-list of trellis issuer, or with trellis keys delegate --targets for trust.delegationFile. A host with a cluster seed names it by itself.',
  ),
  TRELLIS_DELEGATION_UNAVAILABLE: entry(
    'peer',
    EXIT.unreachable,
    true,
    'No issuer service answered on the ctl connection.',
    'Start trellis issuer for this lattice, and let its user subscribe to wasmbus.ctl.v1.{lattice}.trust.delegate. An operator may name a delegation instead: --sign-delegation-file.',
  ),
  // --- wasmCloud 0.82
  TRELLIS_WASMBUS_STORE: entry(
    'system',
    EXIT.unexpected,
    true,
    'A payload over 900 KiB could not go through the JetStream object store, as peers of wasmCloud 0.82 expect.',
    'Give the account of the rpc connection JetStream and the rights to OBJ_<lattice>, or keep payloads below 900 KiB.',
  ),
  TRELLIS_WASMBUS_OPERATIONS: entry(
    'user',
    EXIT.config,
    false,
    'A component with a wasmbus key has no function that peers of wasmCloud 0.82 could call, or two under one name.',
    'Export a func(list<u8>) -> result<list<u8>, string>, set wasmbus.contract to one package, or remove wasmbus.',
  ),
  TRELLIS_WASMBUS_IDENTITY: entry(
    'user',
    EXIT.config,
    false,
    'A wasmCloud 0.82 identity is not complete: an actor is an M key alone, a provider a V key with a contract.',
    'Set wasmbus.key of the component to its M key, or to a V key and wasmbus.contract with it.',
  ),
  TRELLIS_WASMBUS_FUNCTION: entry(
    'user',
    EXIT.usage,
    false,
    'A link leads to a peer of wasmCloud 0.82, but the imported function takes or gives something else than bytes.',
    'Import a func(list<u8>) -> result<list<u8>, string> there, or link the interface to a component.',
  ),
  TRELLIS_WASMBUS_UNSIGNED: entry(
    'user',
    EXIT.config,
    false,
    'A link leads to a peer of wasmCloud 0.82, but there is no key to sign for it.',
    'Set trust.wasmbus.seedFile to a cluster seed whose public key is on the list of those peers.',
  ),
  // --- artifacts
  TRELLIS_ARTIFACT_REFERENCE: entry(
    'user',
    EXIT.usage,
    false,
    'A component reference is neither a file URL nor the name of an image in a registry.',
    'Write file:///absolute/path.wasm, or registry.example/repository:tag, better with @sha256:… behind it.',
  ),
  TRELLIS_ARTIFACT_FILES: entry(
    'denied',
    EXIT.denied,
    false,
    'This host starts no components from files on request of the lattice.',
    'Push the component to a registry, or set artifacts.allowFiles (WASMCLOUD_ALLOW_FILE_LOAD) on the host.',
  ),
  TRELLIS_ARTIFACT_LATEST: entry(
    'denied',
    EXIT.denied,
    false,
    'The reference names the tag latest, and this host does not take it.',
    'Name a version, better with its digest, or set artifacts.allowLatest (WASMCLOUD_OCI_ALLOW_LATEST) on the host.',
  ),
  TRELLIS_ARTIFACT_UNPINNED: entry(
    'denied',
    EXIT.denied,
    false,
    'The reference has no digest, and this host insists on one (artifacts.requireDigest).',
    'Add @sha256:… of the manifest to the reference; trellis inspect prints it.',
  ),
  TRELLIS_ARTIFACT_REGISTRY: entry(
    'denied',
    EXIT.denied,
    false,
    'The registry is not one that this host pulls from.',
    'Add it to artifacts.allowedRegistries on the host, or name another registry.',
  ),
  TRELLIS_ARTIFACT_CREDENTIALS: entry(
    'user',
    EXIT.config,
    false,
    'The credentials for a registry could not be read.',
    'Check artifacts.credentials, the file of artifacts.dockerConfigFile, and who may read them (mode 0600).',
  ),
  TRELLIS_ARTIFACT_AUTH: entry(
    'denied',
    EXIT.denied,
    false,
    'The registry does not let this host read the image.',
    'Give the host credentials for the registry: artifacts.credentials, or docker login for its user.',
  ),
  TRELLIS_ARTIFACT_NOT_FOUND: entry(
    'user',
    EXIT.notFound,
    false,
    'The registry has no such image.',
    'Check registry, repository, and tag or digest; a private image can look the same without credentials.',
  ),
  TRELLIS_ARTIFACT_UNREACHABLE: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The registry could not be reached, or broke off its answer, several times.',
    'Check the name and the network; artifacts.insecureRegistries and artifacts.tlsCaFiles decide about HTTP and certificates.',
  ),
  TRELLIS_ARTIFACT_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'The pull took longer than allowed, and was stopped.',
    'Try again, or raise artifacts.pullTimeoutMs.',
  ),
  TRELLIS_ARTIFACT_REDIRECT: entry(
    'denied',
    EXIT.denied,
    false,
    'The registry sent this host where it does not go: to an inner address, without TLS, or elsewhere with credentials.',
    'Treat the registry as hostile if you do not know why; artifacts.tokenHosts names hosts that may be told credentials.',
  ),
  TRELLIS_ARTIFACT_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'The image is no component: its manifest or its layers are of another kind.',
    'Push the component with wash push, wkg oci push or oras, as one layer of type application/wasm.',
  ),
  TRELLIS_ARTIFACT_MISMATCH: entry(
    'denied',
    EXIT.denied,
    false,
    'The registry gave other bytes than the digest names, several times.',
    'Treat the registry, or what is between it and this host, as hostile or broken.',
  ),
  TRELLIS_CLAIMS_INVALID: entry(
    'denied',
    EXIT.denied,
    false,
    'The claims inside the component do not hold: malformed, expired, not yet valid, badly signed, or of other bytes.',
    'Sign the component again (wash claims sign), and do not change it afterwards.',
  ),
  TRELLIS_CLAIMS_ISSUER: entry(
    'denied',
    EXIT.denied,
    false,
    'The component is not signed by an issuer that this host accepts (artifacts.issuers).',
    'Have it signed by one of them (wash claims sign), or add its issuer.',
  ),
  // --- component
  TRELLIS_COMPONENT_NOT_FOUND: entry(
    'user',
    EXIT.notFound,
    false,
    'The component file does not exist or cannot be read.',
    'Check the path, and that this user may read it.',
  ),
  TRELLIS_COMPONENT_DIGEST: entry(
    'denied',
    EXIT.denied,
    false,
    'The component file has another digest than the configuration says.',
    'Put the right file there, or set digest to what `trellis inspect` prints for the new one.',
  ),
  TRELLIS_COMPONENT_TOO_LARGE: entry(
    'user',
    EXIT.usage,
    false,
    'The component is larger than this host accepts.',
    'Raise limits.maxComponentSizeBytes, or build the component smaller.',
  ),
  TRELLIS_COMPONENT_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'The file is not a WebAssembly component.',
    'Build a component (component model binary), not a core module or its text form.',
  ),
  TRELLIS_COMPONENT_NAME: entry(
    'denied',
    EXIT.denied,
    false,
    'The component holds a name that is refused before any code is generated from it.',
    'Build it with an unmodified toolchain; treat the file as hostile if you do not know where it comes from.',
  ),
  TRELLIS_COMPONENT_LIMIT: entry(
    'denied',
    EXIT.denied,
    false,
    'The component exceeds a limit of this host (modules, functions, names, memories, tables, nesting).',
    'Build the component smaller, or raise its maxMemoryBytes when memory is the limit.',
  ),
  TRELLIS_COMPONENT_UNSUPPORTED: entry(
    'user',
    EXIT.usage,
    false,
    'The component needs something that this host does not offer.',
    'See what it imports with `trellis inspect`.',
  ),
  TRELLIS_COMPONENT_TRANSPILE: entry(
    'user',
    EXIT.usage,
    false,
    'The component could not be translated to JavaScript.',
    'Validate the file with `wasm-tools validate`; rebuild it with a current toolchain.',
  ),
  TRELLIS_COMPONENT_TRANSPILE_TIMEOUT: entry(
    'denied',
    EXIT.timeout,
    true,
    'Translating the component took longer than allowed, and was stopped.',
    'Build the component smaller, or try again when the machine is less busy.',
  ),
  TRELLIS_COMPONENT_PATCH: entry(
    'system',
    EXIT.unexpected,
    false,
    'The generated code does not look as expected, so the safety corrections could not be applied.',
    'Install exactly the dependency versions of package-lock.json (`npm ci`).',
  ),
  TRELLIS_COMPONENT_CACHE: entry(
    'system',
    EXIT.config,
    false,
    'The component cache cannot be used safely.',
    'Give this user a cacheDir of its own that nobody else can write to.',
  ),
  TRELLIS_COMPONENT_NOT_TRANSLATED: entry(
    'user',
    EXIT.config,
    false,
    'The component was not translated beforehand, and this installation cannot translate (an image has no translator in it).',
    'Run `trellis translate --config <file> --cache-dir <folder>` where Trellis is installed whole, with the limits used here, and give that folder as cacheDir; for an image, build it again.',
  ),
  TRELLIS_COMPONENT_REPLACEABLE: entry(
    'denied',
    EXIT.config,
    false,
    'Other users of this computer can put another program in the place of the component file.',
    'Let only root or the user of the host write to the file and the folders above it, or start the host with --allow replaceable-components.',
  ),
  TRELLIS_COMPONENT_LIMITS: entry(
    'user',
    EXIT.usage,
    false,
    'Other limits of a component take effect with a new revision of the same code, and its reference now leads to other code.',
    'Update the component instead: trellis update component.',
  ),
  TRELLIS_COMPONENT_CONFIGURED: entry(
    'user',
    EXIT.usage,
    false,
    'The component is part of the configuration of its host, and gets no other program from the lattice.',
    'Change its file or its entry in the configuration, and reload the host (HUP).',
  ),
  TRELLIS_RESTORE_DAMAGED: entry(
    'system',
    EXIT.unexpected,
    false,
    'The file of what a host ran before it was ended cannot be read.',
    'Start the components again; the file (workloads-<lattice>.json in stateDir) is written anew.',
  ),
  TRELLIS_HOST_FULL: entry(
    'system',
    EXIT.unexpected,
    true,
    'This host runs as many components as limits.maxComponents allows.',
    'Stop a component, start it on another host, or raise limits.maxComponents.',
  ),
  TRELLIS_SECRETS_UNCONFIGURED: entry(
    'user',
    EXIT.config,
    false,
    'secret store not configured, could not fetch secrets',
    'Give values through a configuration: secret references are not supported yet.',
  ),
  TRELLIS_COMPONENT_START: entry(
    'user',
    EXIT.componentFailed,
    false,
    'A component could not be loaded, linked and instantiated.',
    'Read the reason in the message; trellis inspect shows what the component imports and how much memory it asks for.',
  ),
  TRELLIS_RUNNER_START: entry(
    'system',
    EXIT.unexpected,
    true,
    'The process that runs a component could not be started, or was not ready in time.',
    'Read the reason in the message; check memory, process limits and the timeoutMs of the component.',
  ),
  // --- invocation
  TRELLIS_LINK_CONFLICT: entry(
    'user',
    EXIT.config,
    false,
    'Two links of the same source, name and interface lead to different targets.',
    'Remove one of them, or give it another link name.',
  ),
  TRELLIS_LINK_MISSING: entry(
    'user',
    EXIT.notFound,
    false,
    'A component called an interface that no link serves.',
    'Add a link with this source, link name and interface to the host configuration.',
  ),
  TRELLIS_PATH_BUSY: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host has as many invocations in flight as it admits for this component or origin.',
    "Try again, or raise limits.maxInFlight or the component's maxInstances.",
  ),
  TRELLIS_PATH_MALFORMED: entry(
    'peer',
    EXIT.usage,
    false,
    'An invocation was not shaped as the wire form asks.',
    'Check the calling peer; the log line says what was wrong.',
  ),
  TRELLIS_PATH_TOO_LARGE: entry(
    'user',
    EXIT.usage,
    false,
    'The parameters or the result are larger than this host accepts.',
    'Raise limits.maxParamsBytes or limits.maxResultBytes, or send less.',
  ),
  TRELLIS_PATH_PARAMS_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'A caller announced parameters and did not send them in time.',
    'Check the caller and its connection.',
  ),
  TRELLIS_PATH_UNSIGNED_VALUES: entry(
    'denied',
    EXIT.denied,
    false,
    'A stream or future would travel outside the signed bytes, and the peer offers no session that would prove it.',
    'Send the value inline (a non-empty list in the root), or set trust.verify to observe.',
  ),
  TRELLIS_SHARED_TOO_LARGE: entry(
    'user',
    EXIT.usage,
    false,
    'The parameters or the result of a call to another account do not fit into the one message that passes between accounts.',
    'Send or return less, in several calls; or raise max_payload on the NATS servers of both accounts.',
  ),
  TRELLIS_SHARED_FORM: entry(
    'user',
    EXIT.usage,
    false,
    'A call to another account needs more than one message each way: it has streams or futures, or shall run once in the lattice.',
    'Share an interface without streams and futures, of a component with replay: local.',
  ),
  TRELLIS_INVOKE_SCOPE: entry(
    'denied',
    EXIT.denied,
    false,
    'This member may not sign for the caller, so the call was not sent.',
    'Have its delegation name the caller (trellis keys delegate --origins), or call from a host that runs it.',
  ),
  TRELLIS_INVOKE_DENIED: entry(
    'denied',
    EXIT.denied,
    false,
    'The target refused the invocation.',
    "Check that the caller's cluster key is among the target's issuers and that a link or trust.unlinkedOrigins allows it; the target's log has the reason.",
  ),
  TRELLIS_INVOKE_NO_RESPONDERS: entry(
    'peer',
    EXIT.unreachable,
    true,
    'Nobody in the lattice serves this function.',
    'Start the target component, and check lattice, component id, interface and version.',
  ),
  TRELLIS_INVOKE_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'No valid answer came before the deadline.',
    "Raise the timeout, or look at the target's log.",
  ),
  TRELLIS_INVOKE_UNAUTHENTICATED: entry(
    'denied',
    EXIT.denied,
    false,
    'The answer was not signed by a trusted issuer.',
    'Let the target join the same cluster issuers, or set trust.verify to observe while migrating.',
  ),
  TRELLIS_INVOKE_TRAP: entry(
    'peer',
    EXIT.componentFailed,
    false,
    'The target component trapped.',
    "Look at the target host's log for the trap and the guest's own output.",
  ),
  TRELLIS_INVOKE_FAILED: entry(
    'peer',
    EXIT.componentFailed,
    false,
    'The target could not complete the invocation.',
    "Look at the target host's log.",
  ),
  TRELLIS_INVOKE_BUSY: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The target has no room for another invocation.',
    "Try again, or raise the target's maxInstances or maxQueue.",
  ),
  TRELLIS_INVOKE_BAD_PARAMS: entry(
    'user',
    EXIT.usage,
    false,
    'The target could not read the parameters as its own types.',
    'Compare the WIT of both sides with trellis inspect.',
  ),
  TRELLIS_INVOKE_TARGET_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'The target component ran past its deadline and was stopped.',
    'Raise its timeoutMs or shorten the work.',
  ),
  TRELLIS_INVOKE_CANCELLED: entry(
    'system',
    EXIT.unexpected,
    true,
    'The call was given up, because its caller ended or the host stops.',
    'Nothing to do; call again.',
  ),
  TRELLIS_INVOKE_MOVED: entry(
    'system',
    EXIT.timeout,
    true,
    'The NATS connection moved to new credentials or another server and could not wait for the end of this call.',
    'Call again; raise rpc.retireTimeoutMs if calls should be waited for longer.',
  ),
  TRELLIS_CALL_DEPTH: entry(
    'user',
    EXIT.componentFailed,
    false,
    'Components called each other deeper than limits.maxCallDepth.',
    'Break the cycle, or raise limits.maxCallDepth.',
  ),
  // --- host
  TRELLIS_LATTICE_LOST: entry(
    'peer',
    EXIT.latticeLost,
    true,
    'A connection to the lattice ended for good.',
    'Check the NATS server and the credentials, then start the host again; a supervisor does so by itself.',
  ),
  TRELLIS_HOST_BUSY: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host is starting or stopping, and takes no new configuration.',
    'Send it again once /readyz is 200; a stopping host reads it at its next start anyway.',
  ),
  TRELLIS_RELOAD_REFUSED: entry(
    'user',
    EXIT.config,
    false,
    'A configuration that was read again has errors; each has a line of its own, and the one before stays in force.',
    'Correct them (node host.js --check-config lists them too), then send HUP again.',
  ),
  TRELLIS_RELOAD_RESTART: entry(
    'user',
    EXIT.config,
    false,
    'Settings have changed that a running host does not take over.',
    'Restart the host when it suits; all other changes are in force.',
  ),
  TRELLIS_HOST_DEGRADED: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host goes on, but not with everything: the reasons stand beside this code, in the log and on /readyz.',
    'Restore what the reason names; the host recovers by itself and says so.',
  ),
  TRELLIS_STATE_DIR: entry(
    'user',
    EXIT.config,
    false,
    'The folder for what must survive a crash could not be made.',
    'Choose one that this user may write: stateDir for a host, --state-dir for trellis up.',
  ),
  TRELLIS_STATE_DIR_BUSY: entry(
    'user',
    EXIT.config,
    true,
    'Another development lattice runs in the same state folder.',
    'Stop it, or give this one a folder of its own: trellis up --state-dir DIR',
  ),
  TRELLIS_AUDIT_FILE: entry(
    'user',
    EXIT.config,
    false,
    'The audit file cannot be written.',
    'Name a file in a folder that this user may write: audit.file.',
  ),
  // --- auth (operator, accounts and users of NATS)
  TRELLIS_AUTH_STORE: entry(
    'user',
    EXIT.config,
    false,
    'The store of operator, accounts and users cannot be used.',
    'Name it with --store or TRELLIS_AUTH_STORE, or make one: trellis auth init',
  ),
  TRELLIS_AUTH_STORE_BUSY: entry(
    'user',
    EXIT.config,
    true,
    'Another command changes the same store of accounts and users.',
    'Wait until it is done and try again.',
  ),
  TRELLIS_AUTH_EXISTS: entry(
    'user',
    EXIT.usage,
    false,
    'What was to be made exists already, and is left as it is.',
    'Choose another name; trellis auth show lists what there is.',
  ),
  TRELLIS_AUTH_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'The store has no tenant, account, user or key of this name.',
    'See what there is with trellis auth show.',
  ),
  TRELLIS_AUTH_KEY_MISSING: entry(
    'user',
    EXIT.config,
    false,
    'The private key that has to sign is not in the store.',
    'Put its seed back: DIR/keys/<first letter>/<next two>/<public key>.nk, mode 0600.',
  ),
  TRELLIS_AUTH_JWT_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A JWT of the store is not sound, or was signed by somebody who may not.',
    'Restore the file from a copy, or make operator, account or user again.',
  ),
  TRELLIS_AUTH_REVOKED: entry(
    'user',
    EXIT.denied,
    false,
    'The user was revoked, and new credentials would count again.',
    'If that is meant: trellis auth revoke NAME --undo, or give it another key with trellis auth rotate NAME --new-key.',
  ),
  TRELLIS_AUTH_ROTATION: entry(
    'user',
    EXIT.usage,
    false,
    'This step of replacing a signing key cannot be taken yet.',
    'Run trellis auth rotate with the same flags: it says how far it is and takes the next step.',
  ),
  TRELLIS_AUTH_RESOLVER: entry(
    'user',
    EXIT.config,
    false,
    'No server has a resolver to which accounts can be pushed: it has them from its configuration, or from a web server.',
    'Export again (trellis auth export --force) and reload the server, which drops all connections; or export it with --resolver full.',
  ),
  TRELLIS_AUTH_CLAIMS: entry(
    'user',
    EXIT.usage,
    false,
    'A JWT would say what no server accepts, or more than was meant.',
    'Correct the value that the message names.',
  ),
  TRELLIS_AUTH_SHARE: entry(
    'user',
    EXIT.usage,
    false,
    'A share cannot be accepted: it is damaged, over, for another account, or not signed by the account that shares.',
    'Ask the tenant that shares for a new one: trellis auth share',
  ),
  TRELLIS_REFUSAL_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'Nobody knows a refusal with this id.',
    'Hosts remember their last 10,000 refusals; look into an older one with trellis explain ID --file AUDIT_FILE.',
  ),
  TRELLIS_HOST_START: entry(
    'system',
    EXIT.unexpected,
    false,
    'The host could not start.',
    'Look at the cause; trellis host --check-config lists configuration problems.',
  ),
  // --- auth
  TRELLIS_PERMISSION_TEMPLATE: entry(
    'user',
    EXIT.config,
    false,
    'A permission template grants more than a template may, or is not of the right form.',
    'Correct the named entry of the file; the files in config/permissions show the form.',
  ),
  TRELLIS_PERMISSION_VALUE: entry(
    'user',
    EXIT.usage,
    false,
    'The permissions of a user cannot be made from these values.',
    'Use values of A-Z, a-z, 0-9, _ and - only, and the names that the template in config/permissions has.',
  ),
  // --- commands to hosts
  TRELLIS_CONTROL_NO_HOST: entry(
    'peer',
    EXIT.notFound,
    true,
    'No host of the lattice answers to that.',
    'List the hosts with trellis get hosts, and check lattice and servers (--lattice, --context, --ctl-servers).',
  ),
  TRELLIS_CONTROL_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'A host took the command and said no more in time.',
    'Look at the log of the host and at trellis get inventory; give it longer with --timeout-ms.',
  ),
  TRELLIS_CONTROL_REFUSED: entry(
    'peer',
    EXIT.denied,
    false,
    'The host did not do what it was asked to do.',
    'Its answer stands in the message; its log says more.',
  ),
  TRELLIS_SCALE_FAILED: entry(
    'peer',
    EXIT.componentFailed,
    false,
    'The host could not start, scale or replace the component.',
    'Its reason stands in the message; check the reference, and the configurations that were named.',
  ),
  TRELLIS_HOST_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'No host of the lattice has that id or name.',
    'List the hosts with trellis get hosts.',
  ),
  TRELLIS_HOST_AMBIGUOUS: entry(
    'user',
    EXIT.usage,
    false,
    'That fits several hosts.',
    'Give more of the id or of the friendly name.',
  ),
  TRELLIS_COMPONENT_NOT_RUNNING: entry(
    'user',
    EXIT.notFound,
    false,
    'No host of the lattice runs that component.',
    'List what runs with trellis get inventory.',
  ),
  TRELLIS_NO_OFFER: entry(
    'peer',
    EXIT.notFound,
    true,
    'No host of the lattice offers to run the component.',
    'Look at labels and components with trellis get inventory, or name a host with --host-id.',
  ),
  TRELLIS_CONFIG_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'The lattice has no configuration of that name.',
    'Make it with trellis config put NAME KEY=VALUE.',
  ),
  TRELLIS_PROVIDERS_UNSUPPORTED: entry(
    'user',
    EXIT.usage,
    false,
    'Trellis hosts run no providers yet, and its command line has no commands for them.',
    'Providers on wasmCloud hosts of the same lattice are started and stopped with wash.',
  ),
  // --- cli
  TRELLIS_CONTEXT_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'There is no context of that name.',
    'List them with trellis ctx list, make one with trellis ctx new.',
  ),
  TRELLIS_CONTEXT_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A context cannot be used as it is.',
    'Correct it with trellis ctx edit, or make it anew.',
  ),
  TRELLIS_CLI_FILE: entry(
    'user',
    EXIT.notFound,
    false,
    'A file named on the command line cannot be used.',
    'Check the path and its permissions.',
  ),
  TRELLIS_CALL_KEY: entry(
    'user',
    EXIT.config,
    false,
    'There is no key to sign the call with: no cluster seed is configured, and no development lattice of this folder runs.',
    'Start one with trellis up, or name a configuration with --config or WASMCLOUD_CLUSTER_SEED_FILE.',
  ),
  TRELLIS_OPERATION_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'The component exports no such function, or the name fits several.',
    'Name it as interface.function; trellis inspect FILE lists them.',
  ),
} as const satisfies Record<string, CatalogueEntry>;

/** A stable error code, `TRELLIS_<AREA>_<REASON>`. */
export type ErrorCode = keyof typeof CATALOGUE;

/** What {@link TrellisError} takes beside its code. */
export interface TrellisErrorOptions {
  /** What happened here; the catalogue's meaning when left out. Never a secret, never a peer's raw bytes. */
  readonly message?: string;
  /** What to do about it here; the catalogue's remedy when left out. */
  readonly remedy?: string;
  /** Facts for the log: names, sizes, counts. Never a secret or a payload. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

const KIND = Symbol.for('trellis.error');

/** The one error class. `instanceof` also holds across two copies of the package. */
export class TrellisError extends Error {
  readonly code: ErrorCode;
  readonly category: ErrorCategory;
  readonly retryable: boolean;
  readonly exitCode: number;
  readonly remedy: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [KIND] = true;

  constructor(code: ErrorCode, options: TrellisErrorOptions = {}) {
    const known = CATALOGUE[code];
    super(options.message ?? known.meaning, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'TrellisError';
    this.code = code;
    this.category = known.category;
    this.retryable = known.retryable;
    this.exitCode = known.exitCode;
    this.remedy = options.remedy ?? known.remedy;
    this.details = options.details ?? {};
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[KIND] === true;
  }

  /** The fields a log line or `--output json` shows. */
  toJSON(): {
    code: ErrorCode;
    category: ErrorCategory;
    message: string;
    remedy: string;
    retryable: boolean;
    details: Readonly<Record<string, unknown>>;
  } {
    return {
      code: this.code,
      category: this.category,
      message: this.message,
      remedy: this.remedy,
      retryable: this.retryable,
      details: this.details,
    };
  }
}
