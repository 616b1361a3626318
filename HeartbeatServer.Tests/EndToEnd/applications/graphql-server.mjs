// A GraphQL server that speaks graphql-transport-ws: node graphql-server.mjs PORT
import { GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

async function* countdown(from) {
    for (let left = from; left >= 0; left--)
        yield { countdown: left };
}

const schema = new GraphQLSchema({
    query: new GraphQLObjectType({
        name: "Query",
        fields: { echo: { type: GraphQLString, args: { text: { type: new GraphQLNonNull(GraphQLString) } }, resolve: (_, { text }) => text } },
    }),
    subscription: new GraphQLObjectType({
        name: "Subscription",
        fields: { countdown: { type: GraphQLInt, args: { from: { type: new GraphQLNonNull(GraphQLInt) } }, subscribe: (_, { from }) => countdown(from) } },
    }),
});
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), path: "/graphql" });
useServer({ schema }, server);
