// @symblai/symbl-web-sdk in a page: its README's example, and a subscriber. The page prints the
// results to its console; web_sdk.py reads them from there.
'use strict';

const { Symbl } = require('@symblai/symbl-web-sdk');

const until = async (predicate, name) => {
  const end = Date.now() + 10000;
  while (!predicate()) {
    if (Date.now() > end) throw new Error(`${name} takes too long`);
    await Symbl.wait(50);
  }
};

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
  const credentials = window.CREDENTIALS;
  const seen = { speech: [], messages: [], subscribed: [] };
  let symbl;
  let connection;
  await attempt('new Symbl', async () => {
    // The client takes application ids of 64 digits only; a token has no such limit.
    const answer = await fetch('https://api.symbl.ai/oauth2/token:generate', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ type: 'application', ...credentials }),
    });
    const { accessToken } = await answer.json();
    symbl = new Symbl({ accessToken, basePath: 'https://api.symbl.ai' });
  });
  await attempt('createConnection', async () => {
    connection = await symbl.createConnection('interop-web-sdk');
  });
  await attempt('startProcessing', async () => {
    connection.on('speech_recognition', (data) => seen.speech.push(data.punctuated.transcript));
    connection.on('message', (data) => seen.messages.push(...data));
    await connection.startProcessing({
      insightTypes: ['question', 'action_item'],
      config: { confidenceThreshold: 0.5, meetingTitle: 'My Test Meeting', encoding: 'LINEAR16' },
      speaker: { userId: 'ann@example.test', name: 'Ann' },
    });
  });
  await attempt('subscribeToConnection', async () => {
    const subscription = await symbl.subscribeToConnection('interop-web-sdk');
    subscription.on('message', (data) => seen.subscribed.push(...data));
  });
  await attempt('speech_recognition', () => until(() => seen.speech.length, 'speech'));
  await attempt('message', () => until(() => seen.messages.length, 'messages'));
  await attempt('a message for the subscriber', () =>
    until(() => seen.subscribed.length, 'a subscription'));
  await attempt('stopProcessing', () => connection.stopProcessing());
  await attempt('disconnect', () => connection.disconnect());
  console.log(`RESULTS ${JSON.stringify(results)}`);
}

main();
