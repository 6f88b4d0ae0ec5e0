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
 * Tokens the server gave never enter local storage: a placeholder stands for each, and becomes the value of today when
 * it is read, so that a tab kept from yesterday does not send an expired token.
 */
const SHORTEST_SECRET = 8;
const secrets = [
  ...(settings.demo ? [{ name: 'demo', headers: { Authorization: settings.demo.authorization } }] : []),
  ...settings.examples.map(({ operationName, headers }) => ({ name: operationName, headers })),
]
  .flatMap(({ name, headers }) =>
    Object.entries(headers).map(([header, value]) => ({
      value: value.replace(/^Bearer /, ''),
      placeholder: `{{${name}:${header}}}`,
    })),
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

/* The tabs as they were left, or those to begin with. */
function keptTabs() {
  try {
    const { tabs: kept, activeTabIndex } = JSON.parse(storage.getItem(`${KEY}tabState`));
    if (kept[activeTabIndex]) return { tabs: kept, activeTabIndex };
  } catch {
    // There are none, or not in a form of today.
  }
  return { tabs, activeTabIndex: 0 };
}

/* Keeps tabs in the form in which GraphiQL takes them back; those it has not seen yet are handed to it instead. */
function keepTabs({ tabs: changed, activeTabIndex }) {
  if (!changed.every(({ id }) => id)) {
    storage.removeItem(`${KEY}tabState`);
    return;
  }
  const keepsHeaders = storage.getItem(`${KEY}shouldPersistHeaders`) !== 'false';
  const kept = changed.map(({ id, title, query, variables, headers, operationName }) => ({
    id,
    title,
    query: query ?? null,
    variables: variables ?? null,
    headers: (keepsHeaders && headers) || null,
    operationName: operationName ?? null,
    response: null,
  }));
  storage.setItem(`${KEY}tabState`, JSON.stringify({ activeTabIndex, tabs: kept }));
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

/* The headers of a tab as an object; null while they are not JSON. */
function headersOf(text) {
  try {
    const headers = JSON.parse(text || '{}');
    return typeof headers === 'object' && !Array.isArray(headers) ? headers : null;
  } catch {
    return null;
  }
}

const isAuthorization = (name) => name.toLowerCase() === 'authorization';

function authorizationOf(text) {
  const found = Object.entries(headersOf(text) ?? {}).find(([name]) => isAuthorization(name));
  return found ? String(found[1]) : null;
}

/* The headers with another Authorization, or with none; what cannot be read stays as it is. */
function withAuthorization(text, authorization) {
  const headers = headersOf(text);
  if (headers === null) return text;
  const others = Object.entries(headers).filter(([name]) => !isAuthorization(name));
  const all = authorization === null ? others : [['Authorization', authorization], ...others];
  return all.length > 0 ? JSON.stringify(Object.fromEntries(all), null, 2) : '';
}

/* Who asks with this header, in a sentence. */
async function whoAsks(authorization) {
  if (authorization === null) return 'This tab asks as nobody in particular.';
  try {
    const answer = await fetch(settings.endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: authorization },
      body: '{"query": "query WhoAsks { viewer { username } }"}',
    });
    const { data, errors } = await answer.json();
    if (data?.viewer) return `Signed in as ${data.viewer.username}.`;
    return errors?.[0]?.message ?? 'This tab asks as nobody in particular.';
  } catch {
    return 'Who asks is not known: the API does not answer.';
  }
}

const SIGNED_IN = 'trove:signedIn';
const byId = (id) => document.getElementById(id);

/* GraphiQL, and the line above it that says who asks and puts the demo's token into every tab. */
class Desk {
  constructor(container) {
    this.root = ReactDOM.createRoot(container);
    this.mounts = 0;
    this.asked = 0;
    this.shown = undefined;
    this.state = keptTabs();
    byId('sign-in').addEventListener('click', () => this.signIn());
    byId('sign-out').addEventListener('click', () => this.signOut());
  }

  get isSignedIn() {
    return settings.demo !== null && localStorage.getItem(SIGNED_IN) !== null;
  }

  signIn() {
    localStorage.setItem(SIGNED_IN, 'demo');
    this.changeHeaders((headers) => withAuthorization(headers, settings.demo.authorization));
  }

  signOut() {
    localStorage.removeItem(SIGNED_IN);
    this.changeHeaders((headers) =>
      authorizationOf(headers) === settings.demo.authorization ? withAuthorization(headers, null) : headers,
    );
  }

  /* GraphiQL has no way in to the tabs that are not open, so it begins again with tabs that we changed. */
  changeHeaders(change) {
    const { tabs: before, activeTabIndex } = this.state;
    const changed = before.map((tab) => ({ ...tab, headers: change(tab.headers) }));
    this.state = { tabs: changed, activeTabIndex };
    keepTabs(this.state);
    this.mount();
  }

  mount() {
    const mount = (this.mounts += 1);
    const endpoint = new URL(settings.endpoint, location.href);
    const subscriptions = new URL(settings.subscriptionEndpoint, location.href);
    subscriptions.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    fillEditorsFrom(this.state.tabs[this.state.activeTabIndex]);
    this.root.render(
      React.createElement(GraphiQL, {
        key: mount,
        // The headers of a tab travel with a subscription as the payload of `connection_init`.
        fetcher: GraphiQL.createFetcher({ url: endpoint.href, subscriptionUrl: subscriptions.href }),
        defaultEditorToolsVisibility: 'headers',
        defaultHeaders: this.isSignedIn ? withAuthorization('', settings.demo.authorization) : undefined,
        defaultTabs: this.state.tabs,
        inputValueDeprecation: true,
        onTabChange: (state) => {
          // Something of the GraphiQL before this one may still be on its way.
          if (mount === this.mounts) this.follow(state);
        },
        schemaDescription: true,
        shouldPersistHeaders: true,
        // It keeps tabs a moment after they changed: one that has been replaced meanwhile must not keep its own.
        storage: Object.assign(Object.create(storage), {
          setItem: (key, value) => {
            if (mount === this.mounts) storage.setItem(key, value);
          },
        }),
      }),
    );
    this.follow(this.state);
  }

  async follow(state) {
    this.state = state;
    const authorization = authorizationOf(state.tabs[state.activeTabIndex]?.headers);
    if (authorization === this.shown) return;
    this.shown = authorization;
    const asked = (this.asked += 1);
    const isDemo = settings.demo !== null && authorization === settings.demo.authorization;
    byId('sign-in').hidden = settings.demo === null || isDemo;
    byId('sign-out').hidden = !isDemo;
    const sentence = await whoAsks(authorization);
    if (asked === this.asked) byId('who-asks').textContent = sentence;
  }
}

function start(container) {
  byId('sign-in').textContent = settings.demo?.label ?? '';
  new MutationObserver(nameTabs).observe(container, { childList: true, characterData: true, subtree: true });
  new Desk(container).mount();
}

start(byId('graphiql'));
