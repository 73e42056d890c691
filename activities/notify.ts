/** Posts the messages that an experiment file asks for. */
import axios, { isAxiosError } from 'axios';
import { readSecret } from '../inference/servers.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Notification, Notify } from '../schemas/notify.ts';
import { checkGrants, ofNotify } from '../steps/grants.ts';
import { isThere, makeFolder } from '../store/files.ts';
import type { Store } from '../store/store.ts';

/** Milliseconds for an answer. */
const TIMEOUT = 15_000;
/** Statuses of a server that may answer otherwise later. */
const PASSING = new Set([408, 425, 429]);

/** Posts a message unless an earlier try has. Throws a retryable `Down` while the server does not take it. */
export async function deliver(store: Store, message: Notification, notify: Notify, signal: AbortSignal): Promise<void> {
  await checkGrants(store, [ofNotify(notify)]);
  const { url } = notify;
  const address = typeof url === 'string' ? url : readSecret(url, 'the address for messages');
  const delivered = store.work(`notified-${message.id}`);
  if (await isThere(delivered)) return;
  try {
    await axios.post(address, message, { timeout: TIMEOUT, signal, maxRedirects: 0, headers: { 'Idempotency-Key': message.id } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw refusal(error, typeof url === 'string' ? new URL(url).host : 'the address that the workers read');
  }
  await makeFolder(delivered);
}

/** Without the address, which may be a secret. */
function refusal(error: unknown, host: string): BackspinError {
  const { response, code } = isAxiosError(error) ? error : {};
  if (response && response.status < 500 && !PASSING.has(response.status))
    return new BackspinError('ConfigError', `${host} answers ${response.status} to it: correct \`notify.url\`.`);
  return new BackspinError('Down', `${host} does not take it (${response ? response.status : (code ?? (error as Error).message)}).`);
}
