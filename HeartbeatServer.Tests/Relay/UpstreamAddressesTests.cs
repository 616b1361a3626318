using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Relay;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Relay;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class UpstreamAddressesTests
{
    private readonly FakeTimeProvider _time = new();
    private int _lookUps;
    private IPAddress[] _found = [IPAddress.Parse("192.0.2.1"), IPAddress.Parse("192.0.2.2"), IPAddress.Parse("192.0.2.3")];

    [Test]
    public async Task An_address_is_not_looked_up()
    {
        var addresses = new UpstreamAddresses("127.0.0.1", 3000, _time, _ => throw new InvalidOperationException("a look-up"));

        Assert.That(await addresses.GetAsync(), Is.EqualTo(new[] { IPEndPoint.Parse("127.0.0.1:3000") }));
    }

    [Test]
    public async Task A_name_is_kept_for_five_seconds()
    {
        UpstreamAddresses addresses = Addresses();
        await addresses.GetAsync().InTime();
        _time.Advance(TimeSpan.FromSeconds(4.9));
        await addresses.GetAsync().InTime();
        Assert.That(_lookUps, Is.EqualTo(1));

        _time.Advance(TimeSpan.FromSeconds(0.2));
        await addresses.GetAsync().InTime();
        Assert.That(_lookUps, Is.EqualTo(2));
    }

    [Test]
    public async Task The_address_that_worked_comes_first_and_one_that_refused_is_dropped()
    {
        UpstreamAddresses addresses = Addresses();
        IPEndPoint[] all = await addresses.GetAsync().InTime();
        addresses.Tried(all[0], SocketError.ConnectionRefused);
        addresses.Tried(all[1], SocketError.TimedOut);
        addresses.Tried(all[2], SocketError.Success);
        Assert.That(await addresses.GetAsync().InTime(), Is.EqualTo(new[] { all[2], all[1] }));

        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.That(await addresses.GetAsync().InTime(), Is.EqualTo(new[] { all[2], all[0], all[1] }), "looked up again");
    }

    [Test]
    public async Task A_name_whose_addresses_have_all_refused_is_looked_up_again()
    {
        UpstreamAddresses addresses = Addresses();
        foreach (IPEndPoint address in await addresses.GetAsync().InTime())
            addresses.Tried(address, SocketError.ConnectionRefused);
        _found = [IPAddress.Parse("192.0.2.9")];

        Assert.That(await addresses.GetAsync().InTime(), Is.EqualTo(new[] { IPEndPoint.Parse("192.0.2.9:3000") }));
    }

    [Test]
    public async Task Many_ask_and_one_look_up_answers()
    {
        var answer = new TaskCompletionSource<IPAddress[]>();
        var addresses = new UpstreamAddresses("app", 3000, _time, _ =>
        {
            _lookUps++;
            return answer.Task;
        });
        Task<IPEndPoint[]>[] asked = [.. Enumerable.Range(0, 10).Select(_ => addresses.GetAsync().AsTask())];
        answer.SetResult(_found);

        await Task.WhenAll(asked).InTime();
        Assert.That(_lookUps, Is.EqualTo(1));
    }

    [Test]
    public void A_name_that_is_not_found_fails_and_is_looked_up_again()
    {
        var addresses = new UpstreamAddresses("app", 3000, _time, _ =>
        {
            _lookUps++;
            return Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound));
        });

        Assert.That(async () => await addresses.GetAsync().InTime(), Throws.InstanceOf<SocketException>());
        Assert.That(async () => await addresses.GetAsync().InTime(), Throws.InstanceOf<SocketException>());
        Assert.That(_lookUps, Is.EqualTo(2));
    }

    [Test]
    public void A_look_up_that_finds_nothing_fails()
    {
        _found = [];

        Assert.That(async () => await Addresses().GetAsync().InTime(), Throws.InstanceOf<SocketException>());
    }

    private UpstreamAddresses Addresses() => new("app", 3000, _time, name =>
    {
        Assert.That(name, Is.EqualTo("app"));
        _lookUps++;
        return Task.FromResult(_found);
    });
}
