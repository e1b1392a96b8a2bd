/*
 * npm_etcd3: the npm client "etcd3" against a node: watch, lease, lock, election; then the same while daemons
 * of the node are killed in turn.
 *
 *     NODE_PATH=... node npm_etcd3.js ENDPOINT LAUNCHER_PID
 *
 * Prints "ok - NAME" or "not ok - NAME" for each case. npm_etcd3_test.sh runs it.
 */
'use strict';

const assert = require('assert');
const { execFileSync } = require('child_process');
const { noop } = require('cockatiel');
const { Etcd3, EtcdLockFailedError } = require('etcd3');

const [endpoint, launcher] = process.argv.slice(2);
const ROUNDS = 8;
const ROLES = ['proxy', 'apply', 'raft', 'maint'];
const opened = [];

/* Without the circuit breaker, which asks nothing of a host for five seconds after three failures. */
function open() {
    const client = new Etcd3({ hosts: `http://${endpoint}`, faultHandling: { host: () => noop } });
    opened.push(client);
    return client;
}

const delay = ms => new Promise(resolve => setTimeout(resolve, ms));

/* Resolves with what the event brings; fails after ten seconds. */
function once(emitter, event) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no '${event}' within 10 s`)), 10000);
        emitter.once(event, value => {
            clearTimeout(timer);
            resolve(value);
        });
    });
}

async function until(what, condition) {
    for (const end = Date.now() + 20000; !(await condition()); await delay(5))
        assert(Date.now() < end, `never: ${what}`);
}

/* An operation that a killed daemon may fail, until it succeeds. */
async function insist(operation) {
    for (const end = Date.now() + 20000; ; await delay(20)) {
        try {
            return await operation();
        } catch (error) {
            if (Date.now() > end)
                throw error;
        }
    }
}

/* --- the quiet node --- */

async function watchAKey(client) {
    const watcher = await client.watch().key('w/key').create();
    const put = once(watcher, 'put');
    await client.put('w/other').value('x');
    await client.put('w/key').value('1');
    assert.strictEqual((await put).value.toString(), '1');
    const gone = once(watcher, 'delete');
    await client.delete().key('w/key');
    assert.strictEqual((await gone).key.toString(), 'w/key');
    await watcher.cancel();
}

async function watchAPrefixInOrder(client) {
    const watcher = await client.watch().prefix('p/').withPreviousKV().create();
    const seen = [];
    watcher.on('put', (kv, previous) => seen.push(`${kv.key}=${kv.value} was ${previous && previous.value}`));
    watcher.on('delete', (kv, previous) => seen.push(`${kv.key} gone, was ${previous.value}`));
    for (const value of ['1', '2'])
        await client.put('p/a').value(value);
    await client.if('p/a', 'Version', '==', 2).then(client.put('p/b').value('3'), client.delete().key('p/a')).commit();
    await until('four events', () => seen.length >= 4);
    assert.deepStrictEqual(seen, ['p/a=1 was null', 'p/a=2 was 1', 'p/b=3 was null', 'p/a gone, was 2']);
    await watcher.cancel();
}

async function watchFromARevision(client) {
    const { header } = await client.put('r/a').value('1');
    await client.put('r/a').value('2');
    const watcher = client.watch().key('r/a').startRevision(header.revision).watcher();
    const seen = [];
    watcher.on('put', kv => seen.push(kv.value.toString()));
    await until('both events', () => seen.length === 2);
    assert.deepStrictEqual(seen, ['1', '2']);
    await watcher.cancel();
}

async function watchOnlyDeletes(client) {
    const watcher = await client.watch().key('o').only('delete').create();
    watcher.on('put', () => assert.fail('a put'));
    const gone = once(watcher, 'delete');
    await client.put('o').value('1');
    await client.delete().key('o');
    await gone;
    await watcher.cancel();
}

async function manyWatchersOnOneStream(client) {
    const watchers = await Promise.all([...Array(50).keys()].map(i => client.watch().key(`m/${i}`).create()));
    const events = Promise.all(watchers.map(watcher => once(watcher, 'put')));
    for (let i = 0; i < 50; i++)
        await client.put(`m/${i}`).value(`${i}`);
    assert.deepStrictEqual((await events).map(kv => kv.value.toString()), [...Array(50).keys()].map(String));
    await Promise.all(watchers.map(watcher => watcher.cancel()));
}

async function leaseHoldsAKey(client) {
    const lease = client.lease(10);
    await lease.put('l/a').value('x');
    const answer = await lease.keepaliveOnce();
    assert.strictEqual(answer.TTL, '10');
    const id = await lease.grant();
    assert((await client.leaseClient.leaseLeases()).leases.some(one => one.ID === id));
    const info = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
    assert.deepStrictEqual(info.keys.map(String), ['l/a']);
    await lease.revoke();
    assert.strictEqual(await client.get('l/a'), null);
}

async function leaseThatSomebodyRevokes(client) {
    const lease = client.lease(2);
    const id = await lease.grant();
    const lost = once(lease, 'lost');
    await client.leaseClient.leaseRevoke({ ID: id });
    await lost;
}

async function leaseExpires(client) {
    const lease = client.lease(1, { autoKeepAlive: false });
    const watcher = await client.watch().key('l/short').create();
    const gone = once(watcher, 'delete');
    await lease.put('l/short').value('x');
    const began = Date.now();
    await gone;
    assert(Date.now() - began > 1500, 'before its time');
    await watcher.cancel();
}

async function lockExcludes(client) {
    const lock = client.lock('quiet').ttl(10);
    await lock.acquire();
    await assert.rejects(client.lock('quiet').acquire(), EtcdLockFailedError);
    await lock.release();
    await client.lock('quiet').do(async () => assert.notStrictEqual(await client.get('quiet'), null));
    assert.strictEqual(await client.get('quiet'), null);
}

async function electionHasOneLeader(client) {
    const election = client.election('quiet', 10);
    const first = election.campaign('first');
    await first.wait();
    const observer = await election.observe();
    assert.strictEqual(await election.leader(), 'first');
    const second = election.campaign('second');
    let elected = false;
    second.on('elected', () => (elected = true));
    await first.proclaim('first again');
    await until('the observer sees it', () => observer.leader() === 'first again');
    assert(!elected);
    await first.resign();
    await until('the second is elected', () => elected);
    await until('the observer sees it', () => observer.leader() === 'second');
    await observer.cancel();
    await second.resign();
}

/* --- the storm --- */

function pidOf(role) {
    try {
        return execFileSync('pgrep', ['-P', launcher, '-x', `quorate-${role}`]).toString().trim();
    } catch {
        return '';
    }
}

async function killInTurn(client) {
    for (let round = 0; round < ROUNDS; round++) {
        const role = ROLES[round % ROLES.length];
        const before = pidOf(role);
        process.kill(Number(before), 'SIGKILL');
        await until(`${role} is back`, () => pidOf(role) !== '' && pidOf(role) !== before);
        await insist(() => client.put('storm/served').value(role));
        await delay(300);
    }
}

/* A watcher and what it has seen. */
async function record(watch) {
    const watcher = await watch.create();
    const seen = [];
    watcher.on('put', kv => seen.push(`${kv.mod_revision} ${kv.key} ${kv.value}`));
    watcher.on('delete', kv => seen.push(`${kv.mod_revision} ${kv.key} deleted`));
    return { watcher, seen };
}

async function write(client, storm) {
    for (let i = 0; storm.rages; i++) {
        if (i % 7 === 6)
            await insist(() => client.delete().key(`storm/k${i % 5}`));
        else
            await insist(() => client.put(`storm/k${i % 5}`).value(`${i}`));
        storm.writes++;
    }
}

async function lockAndUnlock(client, storm) {
    while (storm.rages) {
        const lock = client.lock('storm').ttl(10);
        try {
            await lock.acquire();
            assert.strictEqual(storm.inside++, 0, 'two hold the lock');
            await delay(2);
            storm.inside--;
            storm.locks++;
        } catch (error) {
            if (error instanceof assert.AssertionError)
                throw error;
        }
        await insist(() => lock.release());
        await delay(1);
    }
}

async function survivesKills(client) {
    const storm = { rages: true, writes: 0, locks: 0, inside: 0 };
    const { header } = await client.put('storm/begin').value('x');
    const all = await record(client.watch().prefix('storm/'));
    const other = await record(open().watch().prefix('storm/').withPreviousKV());
    const one = await record(open().watch().key('storm/k1'));
    const lease = client.lease(5);
    lease.on('lost', error => assert.fail(`lease lost: ${error}`));
    await lease.put('held').value('x');
    const election = client.election('storm', 10);
    const leader = election.campaign('leader');
    await leader.wait();
    const next = open().election('storm', 10).campaign('next');
    const becomesLeader = next.wait();
    await until('the next one waits', async () => (await client.getAll().prefix('election/storm/').count()) === 2);
    const observer = await open().election('storm', 10).observe();

    const activities = [write(open(), storm), lockAndUnlock(open(), storm), lockAndUnlock(open(), storm)];
    await Promise.race([killInTurn(client), Promise.all(activities)]);
    storm.rages = false;
    await Promise.all(activities);
    assert(storm.writes > 100 && storm.locks > 20, `writes ${storm.writes}, locks ${storm.locks}`);

    await insist(() => client.put('storm/k1').value('end'));
    const ended = seen => seen.length > 0 && seen[seen.length - 1].endsWith(' storm/k1 end');
    const truth = [];
    const replay = open().watch().prefix('storm/').startRevision(Number(header.revision) + 1).watcher();
    replay.on('put', kv => truth.push(`${kv.mod_revision} ${kv.key} ${kv.value}`));
    replay.on('delete', kv => truth.push(`${kv.mod_revision} ${kv.key} deleted`));
    for (const seen of [truth, all.seen, other.seen, one.seen])
        await until('the last event', () => ended(seen));
    assert.deepStrictEqual(all.seen, truth);
    assert.deepStrictEqual(other.seen, truth);
    assert.deepStrictEqual(one.seen, truth.filter(event => event.split(' ')[1] === 'storm/k1'));

    assert(!lease.revoked());
    assert.strictEqual((await client.get('held')).toString(), 'x');
    assert.strictEqual(await election.leader(), 'leader');
    await leader.resign();
    await becomesLeader;
    await until('the observer sees it', () => observer.leader() === 'next');
    await next.resign();
    await observer.cancel();
    await lease.revoke();
    console.log(`# ${ROUNDS} kills, ${storm.writes} writes, ${storm.locks} locks, ${truth.length} events`);
}

async function main() {
    const cases = [watchAKey, watchAPrefixInOrder, watchFromARevision, watchOnlyDeletes, manyWatchersOnOneStream,
        leaseHoldsAKey, leaseThatSomebodyRevokes, leaseExpires, lockExcludes, electionHasOneLeader, survivesKills];
    for (const one of cases) {
        const began = Date.now();
        try {
            await one(open());
            console.log(`ok - ${one.name} (${Date.now() - began} ms)`);
        } catch (error) {
            console.log(`not ok - ${one.name}`);
            console.log(`${error.stack}`.split('\n').slice(0, 30).map(line => `#   ${line}`).join('\n'));
        }
    }
    opened.forEach(client => client.close());
    process.exit(0);
}

process.on('unhandledRejection', error => {
    console.log(`not ok - unhandled: ${error.stack}`);
    process.exit(1);
});
main();
