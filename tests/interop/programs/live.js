// The streaming and telephony calls of @symblai/symbl-js and symbl-node, as their READMEs make them.
'use strict';

const { sdk } = require(process.argv[2]);

const within = (seconds, name, promise) =>
  Promise.race([
    promise,
    new Promise((_, fail) => setTimeout(() => fail(new Error(`${name} takes too long`)), seconds * 1000)),
  ]);

async function main() {
  const results = {};
  const attempt = async (name, action) => {
    try {
      await within(30, name, action());
      results[name] = 'ok';
    } catch (error) {
      results[name] = String(error && error.message ? error.message : error).slice(0, 500);
    }
  };
  const { appId, appSecret } = JSON.parse(process.env.CREDENTIALS);
  await sdk.init({ appId, appSecret, basePath: 'https://api.symbl.ai' });

  const id = 'interop-' + process.argv[2].replace(/[^a-z]/g, '');
  const seen = { speech: [], messages: [], insights: [], topics: [], subscribed: [] };
  let connection;
  await attempt('startRealtimeRequest', async () => {
    connection = await sdk.startRealtimeRequest({
      id,
      insightTypes: ['action_item', 'question'],
      config: {
        meetingTitle: 'My Test Meeting',
        confidenceThreshold: 0.5,
        timezoneOffset: 480,
        languageCode: 'en-US',
        sampleRateHertz: 16000,
      },
      speaker: { userId: 'ann@example.test', name: 'Ann' },
      handlers: {
        onSpeechDetected: (data) => data && seen.speech.push(data.punctuated.transcript),
        onMessageResponse: (data) => seen.messages.push(...data),
        onInsightResponse: (data) => seen.insights.push(...data),
        onTopicResponse: (data) => seen.topics.push(...data),
      },
    });
    if (!/^\d+$/.test(connection.conversationId)) throw new Error(JSON.stringify(connection));
  });
  await attempt('subscribeToStream', async () => {
    if (sdk.subscribeToStream) sdk.subscribeToStream(id, (data) => seen.subscribed.push(data.type));
    else sdk.subscribeToConnection(id, (data) => seen.subscribed.push(data.type));
    // Its socket has no event of its own for the caller.
    while (!seen.subscribed.length) {
      connection.sendAudio(Buffer.alloc(3200));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  await attempt('sendAudio', async () => {
    for (let count = 0; count < 40; count += 1) connection.sendAudio(Buffer.alloc(8192));
    while (seen.messages.length < 3) await new Promise((resolve) => setTimeout(resolve, 50));
    const said = seen.messages[0].payload.content;
    if (said !== 'Can you send me the report?') throw new Error(said);
    if (!seen.insights.length || !seen.speech.length) throw new Error(JSON.stringify(seen));
  });
  await attempt('stop', async () => {
    const ended = await connection.stop();
    if (ended.conversationId !== connection.conversationId) throw new Error(JSON.stringify(ended));
  });

  let call;
  await attempt('startEndpoint', async () => {
    call = await sdk.startEndpoint({
      endpoint: { type: 'pstn', phoneNumber: '15551234567' },
      insightTypes: ['action_item', 'question'],
      data: { session: { name: 'My Test Meeting' } },
    });
    const heard = new Promise((resolve) => {
      sdk.subscribeToConnection(call.connectionId, (data) => {
        if (data.type === 'transcript_response' && data.payload.content) resolve();
      });
    });
    await heard;
  });
  await attempt('stopEndpoint', async () => {
    const ended = await sdk.stopEndpoint({ connectionId: call.connectionId });
    if (ended.conversationId !== call.conversationId) throw new Error(JSON.stringify(ended));
  });
  console.log(`\nRESULTS ${JSON.stringify(results)}`);
  process.exit(0);
}

main().catch((error) => {
  console.log(`\nRESULTS ${JSON.stringify({ main: String(error) })}`);
  process.exit(1);
});
