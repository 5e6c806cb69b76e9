// A certified OpenID provider on loopback, for tests.
//
//   node provider.mjs JSON   { client, secret, redirect, accounts: { ID: claims }, logout }
//
// `logout`: where it tells that somebody was signed out, with the session's name; "" for nowhere.
//
// It prints its issuer on a line once it listens. Whoever asks it with `login_hint` is that account
// at once; a person says at its page who they are. No password: that is not what tests are about.
import { createServer } from "node:http";
import Provider, { interactionPolicy } from "oidc-provider";

const PAGE = `<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,">
<h1>Who are you?</h1><form><label>Account <input name="account"></label><button>Go on</button></form>`;
const wanted = JSON.parse(process.argv[2]);

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: wanted.client,
      client_secret: wanted.secret,
      redirect_uris: [wanted.redirect],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      ...(wanted.logout && {
        backchannel_logout_uri: wanted.logout,
        backchannel_logout_session_required: true,
      }),
    },
  ],
  claims: { openid: ["sub", "groups"], email: ["email", "email_verified"], profile: ["name"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["of-the-tests"] },
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
  // Its own reaches no loopback address, which is where tests are.
  fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
  interactions: { policy: interactionPolicy.base(), url: (_, { uid }) => `/at/${uid}` },
  findAccount: (_, id) => {
    const claims = wanted.accounts[id];
    return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
  },
});

server.on("request", async (request, response) => {
  if (!request.url.startsWith("/at/")) return provider.callback()(request, response);
  const { params, grantId } = await provider.interactionDetails(request, response);
  const said = new URL(request.url, issuer).searchParams.get("account");
  const accountId = said ?? params.login_hint;
  if (accountId === undefined) {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    return response.end(PAGE);
  }
  if (!wanted.accounts[accountId]) {
    const error = { error: "access_denied" };
    return provider.interactionFinished(request, response, error);
  }
  const grant = (grantId && (await provider.Grant.find(grantId))) ||
    new provider.Grant({ accountId, clientId: wanted.client });
  grant.addOIDCScope("openid email profile");
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result);
});
console.log(issuer);
