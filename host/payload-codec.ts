/** Encrypts what Temporal keeps of experiments: inputs and results of workflows and activities, memos, heartbeat details, summaries. In the
 *  format of Temporal's own samples, so that a codec server for them reads it too. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataConverter, Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;
const VARIABLE = 'BACKSPIN_PAYLOAD_KEY';
const ENCODING = 'binary/encrypted';
const CIPHER = 'aes-256-gcm';
/** Bytes. */
const [KEY, NONCE, TAG] = [32, 12, 16];

interface Key {
  /** The beginning of its SHA-256. */
  readonly id: string;
  readonly bytes: Buffer;
}

/** For every client and worker. Encrypts with the first key of the file that `BACKSPIN_PAYLOAD_KEY` names, and decrypts with any of its keys.
 *  Without a key it encrypts nothing. Payloads from before there was a key are read as they are. */
export function dataConverter(): DataConverter {
  return { payloadCodecs: [new PayloadEncryption(payloadKeys())] };
}

/** One key a line, each 32 bytes in base64. Throws `ConfigError` for a file that holds anything else. */
function payloadKeys(): readonly Key[] {
  const file = process.env[VARIABLE];
  if (!file) return [];
  const keys = textIn(file)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => Buffer.from(line.trim(), 'base64'));
  if (keys.length === 0 || keys.some(({ length }) => length !== KEY))
    throw new BackspinError(
      'ConfigError',
      `${VARIABLE} names ${file}, which must hold a key of ${KEY} bytes in base64 on each line: \`openssl rand -base64 ${KEY}\` makes one.`,
    );
  return keys.map((bytes) => ({ id: createHash('sha256').update(bytes).digest('hex').slice(0, 16), bytes }));
}

function textIn(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new BackspinError('ConfigError', `${VARIABLE} names a file that cannot be read (${(error as Error).message}).`);
  }
}

class PayloadEncryption implements PayloadCodec {
  readonly #keys: readonly Key[];

  constructor(keys: readonly Key[]) {
    this.#keys = keys;
  }

  async encode(payloads: Payload[]): Promise<Payload[]> {
    const [key] = this.#keys;
    return key ? payloads.map((payload) => encrypt(payload, key)) : payloads;
  }

  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((payload) => (textOf(payload, 'encoding') === ENCODING ? this.#decrypt(payload) : payload));
  }

  #decrypt(payload: Payload): Payload {
    const id = textOf(payload, 'encryption-key-id');
    const key = this.#keys.find((one) => one.id === id);
    if (!key) throw keyMissing('Temporal holds payloads that are', id);
    const bytes = Buffer.from(payload.data!);
    const decipher = createDecipheriv(CIPHER, key.bytes, bytes.subarray(0, NONCE)).setAuthTag(bytes.subarray(-TAG));
    const plain = Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]);
    return PayloadMessage.decode(plain);
  }
}

function encrypt(payload: Payload, { id, bytes }: Key): Payload {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv(CIPHER, bytes, nonce);
  const plain = PayloadMessage.encode(payload).finish();
  const data = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  const metadata = { encoding: ENCODING, 'encryption-cipher': CIPHER, 'encryption-key-id': id };
  return { metadata: Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, Buffer.from(text)])), data };
}

const textOf = ({ metadata }: Payload, name: string): string | undefined => {
  const bytes = metadata?.[name];
  return bytes && Buffer.from(bytes).toString();
};

const keyMissing = (what: string, id: string | undefined): BackspinError =>
  new BackspinError(
    'ConfigError',
    `${what} encrypted with the key ${id}, which is not in ${process.env[VARIABLE] || `a file that ${VARIABLE} names`}: set ${VARIABLE} to the file with this key, on every host and for commands too.`,
  );

/** Names in the store the key by which new payloads are encrypted, so that nothing without it joins. Throws `ConfigError` where that key is
 *  missing. `begins`: no worker runs yet, so the first key of the file takes its place. */
export async function requirePayloadKey({ blobs }: Store, begins = false): Promise<void> {
  const file = join(blobs.paths.root, 'payload-key.json');
  const keys = payloadKeys();
  const noted = (await blobs.read(file))?.toString();
  const id = noted === undefined ? undefined : (JSON.parse(noted) as { readonly id: string }).id;
  if (id !== undefined && !keys.some((key) => key.id === id)) throw keyMissing('Experiments of this store are', id);
  if (begins && keys[0] && keys[0].id !== id) await blobs.write(file, JSON.stringify({ id: keys[0].id }));
}
