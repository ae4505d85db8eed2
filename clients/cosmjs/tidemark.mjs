// The chain's messages for CosmJS: their types, read from the .proto files of this repository, in a
// registry beside CosmJS' own.

import { fileURLToPath } from "node:url";
import path from "node:path";

import { Registry } from "@cosmjs/proto-signing";
import { defaultRegistryTypes } from "@cosmjs/stargate";
import protobuf from "protobufjs";

const protos = fileURLToPath(new URL("../../proto/proto", import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => path.resolve(protos, target);
root.loadSync("tidemark/v1/tx.proto");

/** The prefix of the chain's addresses. */
export const PREFIX = "tide";

/** The protobuf type of a type URL of the chain. */
export const typeOf = (typeUrl) => root.lookupType(typeUrl.slice(1));

const messages = root
  .lookup("tidemark.v1")
  .nestedArray.filter((type) => type instanceof protobuf.Type && /^(Msg|Block)/.test(type.name))
  .map((type) => [`/tidemark.v1.${type.name}`, type]);

/** A registry of every message of the chain, those of proposers among them. */
export const registry = () => new Registry([...defaultRegistryTypes, ...messages]);

/** A response of a transaction's result, or a message of a transaction, as a plain object. */
export const decode = ({ typeUrl, value }) => {
  const type = typeOf(typeUrl);
  return type.toObject(type.decode(value), { longs: String, enums: String, arrays: true });
};
