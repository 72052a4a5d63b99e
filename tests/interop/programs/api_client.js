// Every call of @symblai/api-client that reads, and its token. Prints one JSON object: for each
// call "ok", or what went wrong.
'use strict';

const api = require('@symblai/api-client');

const conversation = process.env.CONVERSATION;
const client = new api.ApiClient();

const call = (object, method, ...given) =>
  new Promise((resolve, reject) => {
    object[method](...given, (error, data) => (error ? reject(error) : resolve(data)));
  });

const READERS = {
  ActionItemsApi: ['getActionItemsByConversationId'],
  ConversationsApi: [
    'getActionItemsByConversationId', 'getConversationById', 'getFollowUpsByConversationId',
    'getInsightsByConversationId', 'getIntentsByConversationId', 'getMembersByConversationId',
    'getMessagesByConversationId', 'getQuestionsByConversationId', 'getTopicsByConversationId',
  ],
  FollowUpsApi: ['getFollowUpsByConversationId'],
  InsightsApi: ['getInsightsByConversationId'],
  IntentsApi: ['getIntentsByConversationId'],
  MembersApi: ['getMembersByConversationId'],
  MessagesApi: ['getMessagesByConversationId'],
  QuestionsApi: ['getQuestionsByConversationId'],
  TopicsApi: ['getTopicsByConversationId'],
};

async function main() {
  const results = {};
  const attempt = async (name, action) => {
    try {
      await action();
      results[name] = 'ok';
    } catch (error) {
      results[name] = String(error).slice(0, 500);
    }
  };
  const credentials = JSON.parse(process.env.CREDENTIALS);
  await attempt('AuthenticationApi.generateToken', async () => {
    const token = await call(
      new api.AuthenticationApi(client), 'generateToken', { type: 'application', ...credentials },
    );
    client.authentications.jwt.apiKey = token.accessToken;
  });
  for (const [group, methods] of Object.entries(READERS)) {
    for (const method of methods) {
      await attempt(`${group}.${method}`, async () => {
        const answer = await call(new api[group](client), method, conversation);
        if (answer === null || answer === undefined) throw new Error('an empty answer');
      });
    }
  }
  console.log(`\nRESULTS ${JSON.stringify(results)}`);
  process.exit(0);
}

main();
