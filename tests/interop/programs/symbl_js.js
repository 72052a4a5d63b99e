// @symblai/symbl-js logs in, by credentials and by a token that it decodes itself.
'use strict';

const { sdk } = require('@symblai/symbl-js');

async function main() {
  const results = {};
  const attempt = async (name, action) => {
    try {
      await action();
      results[name] = 'ok';
    } catch (error) {
      results[name] = String(error && error.message ? error.message : error).slice(0, 500);
    }
  };
  const { appId, appSecret } = JSON.parse(process.env.CREDENTIALS);
  let token;
  await attempt('sdk.init by credentials', async () => {
    await sdk.init({ appId, appSecret });
    token = sdk.oauth2.activeToken;
    if (!token || token.split('.').length !== 3) throw new Error(`no token: ${token}`);
  });
  await attempt('sdk.init by a token', async () => {
    await sdk.init({ accessToken: token });
    if (sdk.oauth2.activeToken !== token) throw new Error('another token');
    if (!(sdk.oauth2.expiresOn > new Date())) throw new Error(`expires ${sdk.oauth2.expiresOn}`);
  });
  console.log(`\nRESULTS ${JSON.stringify(results)}`);
  process.exit(0);
}

main();
