// Trades on a running chain through CosmJS as it is: `node test.mjs RPC SECRET MARKET PRICE_TICKS`.
// The node indexes transactions; SECRET is the hex of a key with collateral; an order to buy at
// PRICE_TICKS must rest. Ends with 0 if all holds.

import assert from "node:assert/strict";

import { DirectSecp256k1Wallet, decodeTxRaw } from "@cosmjs/proto-signing";
import { BroadcastTxError, SigningStargateClient } from "@cosmjs/stargate";

import { PREFIX, decode, registry, typeOf } from "./tidemark.mjs";

const ORDERS = "/tidemark.v1.MsgOrders";
const PRICES = "/tidemark.v1.BlockPrices";
const FEE = { amount: [], gas: "100000" };

const [rpc, secret, market, priceTicks] = process.argv.slice(2);
const wallet = await DirectSecp256k1Wallet.fromKey(Buffer.from(secret, "hex"), PREFIX);
const [{ address }] = await wallet.getAccounts();
const client = await SigningStargateClient.connectWithSigner(rpc, wallet, {
  registry: registry(),
  broadcastPollIntervalMs: 200,
});

const send = (operations) =>
  client.signAndBroadcast(address, [{ typeUrl: ORDERS, value: { sender: address, operations } }], FEE);

/** The results of a transaction's operations, from the data of its result. */
const results = (tx) => {
  assert.equal(tx.msgResponses.length, 1);
  assert.equal(tx.msgResponses[0].typeUrl, `${ORDERS}Response`);
  return decode(tx.msgResponses[0]).results;
};

// A good order.
const order = { market: Number(market), side: 1, priceTicks: Number(priceTicks), lots: 1 };
const good = await send([{ place: order }]);
assert.equal(good.code, 0, good.rawLog);
const [placed] = results(good);
assert.equal(placed.code ?? 0, 0);
assert.equal(placed.restingLots, "1");
assert.ok(good.gasWanted > 0n && good.gasUsed > 0n, "gas is told");

// A refused one: a code, a sentence, and data that decodes.
const refused = await send([{ cancel: { market: Number(market), orderId: 999_999_999 } }]);
assert.equal(refused.code, 115);
assert.match(refused.rawLog, /^UNKNOWN_ORDER: /);
assert.equal(results(refused)[0].code, 115);

// A batch of which a part is refused.
const partly = await send([
  { cancel: { market: Number(market), orderId: 999_999_999 } },
  { cancel: { market: Number(market), orderId: placed.orderId } },
]);
assert.equal(partly.code, 0, partly.rawLog);
assert.deepEqual(results(partly).map((result) => result.code ?? 0), [115, 0]);

// What an explorer asks.
const found = await client.searchTx([{ key: "message.sender", value: address }]);
for (const tx of [good, refused, partly]) {
  const same = found.find(({ hash }) => hash === tx.transactionHash);
  assert.ok(same, `searchTx finds ${tx.transactionHash}`);
  assert.equal(same.code, tx.code);
}
const acted = await client.searchTx([{ key: "message.action", value: ORDERS }]);
assert.ok(acted.some(({ hash }) => hash === refused.transactionHash));

// All of a block decodes alike, and its first transaction is the validators' prices.
const block = await client.getBlock(good.height);
const messages = block.txs.map((tx) => decodeTxRaw(tx).body.messages);
const [first, ...others] = messages.map(([message]) => message.typeUrl);
assert.equal(first, PRICES);
assert.ok(others.includes(ORDERS) && others.every((url) => url.startsWith("/tidemark.v1.Msg")));
assert.ok(decode(messages[0][0]).votes.length > 0);

// Nobody but a proposer sends prices, and a refusal of the mempool is an error with its code.
const body = registry().encodeTxBody({ messages: [{ typeUrl: PRICES, value: { round: 7 } }] });
assert.ok(body.length < 128, "its length is one byte");
await assert.rejects(
  client.broadcastTxSync(Uint8Array.from([0x0a, body.length, ...body])),
  (error) => error instanceof BroadcastTxError && error.code === 13,
);
assert.ok(typeOf("/tidemark.v1.BlockList"), "the format of a list is declared");

client.disconnect();
console.log(`CosmJS traded as ${address}: ${found.length} transactions found`);
