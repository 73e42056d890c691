/** Keeps strangers out: other users of the machine, other sites in the same browser, and text that poses as code. */
import { timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';

/** Only files of this server: no inline script or style, no foreign address, no frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin', // with no-referrer a browser hides the origin of a form
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/**
 * Answers only requests for this host (another name may be a trick of somebody's DNS) that come from no other site and have the token: in
 * the address at first, in a cookie from then on. `port` is in the cookie's name, because browsers send cookies to every port.
 */
export const guard =
  (token: string, port: () => number): MiddlewareHandler =>
  async (context, next) => {
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
    const hosts = [`127.0.0.1:${port()}`, `localhost:${port()}`];
    const host = context.req.header('host') ?? '';
    if (!hosts.includes(host)) return context.text('This host is not served here.', 421);
    const origin = context.req.header('origin');
    if (origin !== undefined && origin !== `http://${host}`) return context.text('Requests of other sites are refused.', 403);
    const { method } = context.req;
    if (!['GET', 'HEAD', 'POST'].includes(method)) return context.text('Pages are read, and reviews are posted.', 405);
    if (method === 'POST' && origin === undefined) return context.text('Only pages of this server may change anything.', 403);
    const cookie = `backspin-${port()}`;
    const url = new URL(context.req.url);
    const given = url.searchParams.get('token');
    if (given !== null && equal(given, token)) {
      setCookie(context, cookie, token, { httpOnly: true, sameSite: 'Strict', path: '/' });
      url.searchParams.delete('token');
      return context.redirect(`${url.pathname}${url.search}`, 303);
    }
    if (!equal(getCookie(context, cookie) ?? '', token))
      return context.text('Open the address that `backspin ui` has printed: it holds the token of this session.', 401);
    return next();
  };

function equal(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
