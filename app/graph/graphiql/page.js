/* Starts GraphiQL with the settings the server wrote into the page. Loaded after React and GraphiQL. */
'use strict';

const settings = JSON.parse(document.getElementById('settings').textContent);

// Dialogs put a style element into the page; the content-security policy lets it in by this nonce.
window.__webpack_nonce__ = settings.styleNonce;

const NAMESPACE = 'trove:';
const KEY = 'graphiql:';

const tabs = settings.examples.map(({ query, variables, headers }) => ({
  query,
  variables: Object.keys(variables).length > 0 ? JSON.stringify(variables, null, 2) : '',
  headers: Object.keys(headers).length > 0 ? JSON.stringify(headers, null, 2) : '',
}));

/*
 * Header values the server gave (bearer tokens) never enter local storage: a placeholder stands for each, and becomes
 * the value of today when it is read, so that a tab kept from yesterday does not send an expired token.
 */
const SHORTEST_SECRET = 8;
const secrets = settings.examples
  .flatMap(({ headers }, index) =>
    Object.entries(headers).map(([name, value]) => ({ value, placeholder: `{{${index}:${name}}}` })),
  )
  .filter(({ value }) => value.length >= SHORTEST_SECRET);

const conceal = (text) => secrets.reduce((kept, { value, placeholder }) => kept.replaceAll(value, placeholder), text);
const reveal = (text) => secrets.reduce((shown, { value, placeholder }) => shown.replaceAll(placeholder, value), text);

const ownKeys = () => Object.keys(localStorage).filter((key) => key.startsWith(NAMESPACE));

const storage = {
  getItem(key) {
    const kept = localStorage.getItem(NAMESPACE + key);
    return kept === null ? null : reveal(kept);
  },
  setItem: (key, value) => localStorage.setItem(NAMESPACE + key, conceal(value)),
  removeItem: (key) => localStorage.removeItem(NAMESPACE + key),
  clear: () => ownKeys().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return ownKeys().length;
  },
};

function activeTab() {
  try {
    const kept = JSON.parse(storage.getItem(`${KEY}tabState`));
    return kept.tabs[kept.activeTabIndex] ?? tabs[0];
  } catch {
    return tabs[0];
  }
}

/*
 * GraphiQL fills its editors from three keys, not from the tab it opens, and adds a tab when the two differ: variables
 * of the first example would be missing, and a reload could double a tab.
 */
function fillEditorsFrom(tab) {
  for (const part of ['query', 'variables', 'headers']) {
    if (tab?.[part]) storage.setItem(KEY + part, tab[part]);
    else storage.removeItem(KEY + part);
  }
}

/* GraphiQL titles a tab with the name of its operation, which cannot hold a space; ours have names for people. */
function nameTabs() {
  const names = new Map(settings.examples.map(({ operationName, name }) => [operationName, name]));
  for (const button of document.querySelectorAll('.graphiql-tab-button')) {
    const name = names.get(button.textContent);
    if (name && name !== button.textContent) button.firstChild.nodeValue = name;
  }
}

function start(container) {
  const endpoint = new URL(settings.endpoint, location.href);
  const subscriptions = new URL(settings.subscriptionEndpoint, location.href);
  subscriptions.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  fillEditorsFrom(activeTab());
  new MutationObserver(nameTabs).observe(container, { childList: true, characterData: true, subtree: true });
  ReactDOM.createRoot(container).render(
    React.createElement(GraphiQL, {
      // The headers of a tab travel with a subscription as the payload of `connection_init`.
      fetcher: GraphiQL.createFetcher({ url: endpoint.href, subscriptionUrl: subscriptions.href }),
      defaultEditorToolsVisibility: 'headers',
      defaultTabs: tabs,
      inputValueDeprecation: true,
      schemaDescription: true,
      shouldPersistHeaders: true,
      storage,
    }),
  );
}

start(document.getElementById('graphiql'));
