// Serves until SIGTERM, on loopback: `node server.mjs --port 9000`.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/node";
import preset from "./graphile.config.mjs";

const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
const graphql = postgraphile(preset).createServ(grafserv);
const server = createServer();
await graphql.addTo(server);
await graphql.ready();
server.listen(port, "127.0.0.1");
