import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import { certificate, secretFile } from './check-files.ts';
import { isLoopback } from './loopback.ts';
import type { Problem } from './problems.ts';
import { isExposedMode, readSecretFile } from './secret-files.ts';
import { defaultDockerConfig } from './schema/artifacts.ts';

const OF_A_REGISTRY = {
  missing: 'Without it nothing can be pulled from that registry.',
  exposed: 'Whoever reads this file can log in to the registry as this host.',
};

/** START-05, START-06, START-11, START-12, START-14 and START-20 for the settings of `artifacts`. */
export function checkArtifacts(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  const { artifacts, dev } = context.config;
  const oneLine = (text: string) =>
    /^[^\r\n\0]+\r?\n?$/.test(text)
      ? undefined
      : { summary: 'does not hold one line', fix: 'Write the password into it, and nothing else.' };
  secretFile(context, problems, 'artifacts.passwordFile', artifacts.passwordFile, oneLine, OF_A_REGISTRY);
  for (const [i, { passwordFile }] of artifacts.credentials.entries()) {
    secretFile(context, problems, `artifacts.credentials[${i}].passwordFile`, passwordFile, oneLine, OF_A_REGISTRY);
  }
  for (const [i, file] of artifacts.tlsCaFiles.entries()) certificate(context, problems, `artifacts.tlsCaFiles[${i}]`, file);
  checkLogin(context, problems);
  checkDockerConfig(context, problems);
  for (const [i, issuer] of artifacts.issuers.entries()) {
    const key = context.keys.ofPublicKey(issuer);
    if ('kind' in key && key.kind === 'account') continue;
    problems.add('START-14', `artifacts.issuers[${i}]`, {
      summary:
        'kind' in key
          ? `This is the key of a ${key.kind}; components are signed by accounts.`
          : `This is no public key: it ${key.reason}.`,
      value: issuer,
      why: 'No component could ever be signed by it.',
      fix: 'Give the public key (A…) of the account that signs components; trellis inspect shows it.',
    });
  }
  for (const [i, registry] of artifacts.insecureRegistries.entries()) {
    if (dev || isLoopback(registry.replace(/:\d+$/, ''))) continue;
    problems.add('START-20', `artifacts.insecureRegistries[${i}]`, {
      warning: true,
      summary: 'A registry is spoken to without TLS.',
      value: registry,
      why: 'Whoever is on the way reads credentials, and chooses what an image is that is named without a digest.',
      fix: 'Give the registry a certificate (artifacts.tlsCaFiles), or set artifacts.requireDigest and use no credentials there.',
    });
  }
  return problems.found;
}

/** `registry`, `username` and a password belong together. */
function checkLogin({ config, sourceOf }: CheckContext, problems: ProblemList): void {
  const { registry, username, password, passwordFile } = config.artifacts;
  const given = [registry, username, password ?? passwordFile].filter((part) => part !== undefined).length;
  if (given !== 0 && given !== 3) {
    const missing = registry === undefined ? 'registry' : username === undefined ? 'username' : 'passwordFile';
    problems.add('START-14', `artifacts.${missing}`, {
      summary: `The login for a registry is incomplete: artifacts.${missing} is missing.`,
      why: 'Registry, user and password belong together; without one the others would silently not be used.',
      fix: `Set artifacts.${missing}, or remove the others.`,
    });
  }
  if (password !== undefined && passwordFile !== undefined) {
    problems.add('START-14', 'artifacts.passwordFile', {
      summary: 'The password for a registry is given twice.',
      why: 'Which of them counts cannot be known.',
      fix: 'Keep the file.',
    });
  }
  if (password !== undefined && !config.dev) {
    problems.add('START-11', 'artifacts.password', {
      warning: true,
      summary: `The password for a registry came with ${sourceOf('artifacts.password')}.`,
      why: 'Other processes of this user could read it until the host took it out of its environment.',
      fix: 'Write it to a file (mode 0600) and set artifacts.passwordFile.',
    });
  }
}

/** What nobody chose is only left alone; what somebody chose has to be usable. */
function checkDockerConfig({ config, process: facts }: CheckContext, problems: ProblemList): void {
  const { dockerConfigFile } = config.artifacts;
  if (dockerConfigFile === defaultDockerConfig()) return;
  const file = readSecretFile(dockerConfigFile);
  if (!file.ok) {
    problems.add('START-06', 'artifacts.dockerConfigFile', {
      summary: `The file of artifacts.dockerConfigFile ${file.reason}.`,
      value: dockerConfigFile,
      why: OF_A_REGISTRY.missing,
      fix: 'Correct the path, or give this user access to the file.',
    });
  } else if (facts.uid !== undefined && isExposedMode(file.mode, file.uid)) {
    problems.add('START-05', 'artifacts.dockerConfigFile', {
      summary: 'Other users here can read the file of artifacts.dockerConfigFile.',
      value: `${dockerConfigFile}   (mode 0${file.mode.toString(8)}, expected 0600)`,
      why: OF_A_REGISTRY.exposed,
      fix: `chmod 600 ${dockerConfigFile}`,
    });
  }
}
