/** Reads the address of a store in S3, and explains errors of its server. */
import { BackspinError } from '../schemas/errors.ts';

export interface S3Address {
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** `s3://BUCKET/PREFIX` */
  readonly url: string;
}

/** Throws `ConfigError` for anything but `s3://BUCKET` and `s3://BUCKET/PREFIX`. */
export function s3Address(text: string): S3Address {
  const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[\w.-]+)*)\/?$/.exec(text) ?? [];
  if (bucket === undefined)
    throw new BackspinError('ConfigError', `"${text}" names no store in S3: write s3://BUCKET/PREFIX, such as s3://team/backspin.`);
  return { bucket, prefix: path === '' ? '' : `${path.slice(1)}/`, url: `s3://${bucket}${path}` };
}

interface S3Error {
  readonly name?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}
export const statusOf = (error: unknown): number | undefined => (error as S3Error).$metadata?.httpStatusCode;
export const isMissing = (error: unknown): boolean => statusOf(error) === 404 && (error as S3Error).name !== 'NoSuchBucket';

const REFUSED = /^(AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|CredentialsProviderError|ExpiredToken|Forbidden|403)$/;

/** A sentence for an error that is no answer: about the bucket, the credentials, or a server that does not answer. */
export function s3Fault(error: unknown, url: string): BackspinError {
  if (error instanceof BackspinError) return error;
  const { name = 'Error', message = '' } = error as S3Error;
  const why = (message || name).split('\n')[0];
  if (name === 'NoSuchBucket')
    return new BackspinError('ConfigError', `The bucket of ${url} does not exist: make it, or correct BACKSPIN_STORE.`, { cause: error });
  if (REFUSED.test(name) || statusOf(error) === 403 || statusOf(error) === 401)
    return new BackspinError(
      'ConfigError',
      `The S3 server refuses access to ${url} (${why}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to an account that may read, write, list and delete there.`,
      { cause: error },
    );
  return new BackspinError(
    'Down',
    `The store ${url} does not answer (${name}: ${why}): check its server and AWS_ENDPOINT_URL; the work goes on by itself once it does.`,
    { cause: error },
  );
}
