// PostGraphile as it comes (the preset Amber), over Trove's tables, acting as Trove's API does.
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makeJSONPgSmartTagsPlugin } from "postgraphile/utils";

const poolSize = Number(process.env.TROVE_DATABASE_POOL_SIZE);

// Hardly a table has the name of another in the other schemas, so none needs its schema in its name.
const PlainNames = {
  name: "PlainNames",
  version: "1.0.0",
  inflection: { replace: { _schemaPrefix: () => "" } },
};

// By default only columns that an index begins with can be asked for; Trove narrows series by kind, candles by length.
const Filters = makeJSONPgSmartTagsPlugin({
  version: 1,
  config: {
    class: {
      // Catalogue and portfolios both have such a table.
      "portfolios.creation_keys": { tags: { name: "portfolioCreationKeys" } },
      "prices.price_series": { attribute: { kind: { tags: { behavior: "+attribute:filterBy" } } } },
      "prices.candles": { attribute: { resolution: { tags: { behavior: "+attribute:filterBy" } } } },
    },
  },
});

export default {
  extends: [PostGraphileAmberPreset],
  plugins: [PlainNames, Filters],
  pgServices: [
    makePgService({
      connectionString: process.env.BENCH_DATABASE_URL,
      schemas: ["catalogue", "prices", "portfolios", "bench"],
      // Who asks is trusted to be whom they say; policies then show them what is theirs.
      pgSettings: ({ node }) => {
        const viewer = node?.req.headers.authorization?.replace("Bearer ", "");
        return viewer ? { "app.viewer_id": viewer } : {};
      },
      poolConfig: { min: poolSize, max: poolSize, options: "-c role=trove_api -c timezone=UTC -c jit=off" },
    }),
  ],
  grafserv: { graphiql: false, watch: false },
  grafast: { explain: false },
};
