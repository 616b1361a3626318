using System.Net;
using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Hosting;

internal sealed class AdmissionTests
{
    private static readonly IPAddress One = IPAddress.Parse("192.0.2.1");
    private static readonly IPAddress Other = IPAddress.Parse("192.0.2.2");

    [Test]
    public void Without_limits_everybody_enters()
    {
        var admission = new Admission(0, 0);

        for (int i = 0; i < 1000; i++)
            Assert.That(admission.TryEnter(One), Is.Null);
        Assert.That(admission.IsFull, Is.False);
    }

    [Test]
    public void At_the_limit_it_is_503_until_one_leaves()
    {
        var admission = new Admission(2, 0);
        Assert.That((admission.TryEnter(One), admission.TryEnter(Other)), Is.EqualTo(((Refusal?)null, (Refusal?)null)));
        Assert.That(admission.IsFull, Is.True);

        Assert.That(admission.TryEnter(Other)?.Status, Is.EqualTo(503));
        admission.Leave(One);

        Assert.That(admission.IsFull, Is.False);
        Assert.That(admission.TryEnter(Other), Is.Null);
    }

    [Test]
    public void At_the_limit_of_an_address_it_is_429_for_this_one()
    {
        var admission = new Admission(0, 2);
        admission.TryEnter(One);
        admission.TryEnter(IPAddress.Parse("192.0.2.1"));

        Assert.That(admission.TryEnter(One)?.Status, Is.EqualTo(429));
        Assert.That(admission.TryEnter(Other), Is.Null);
        admission.Leave(One);

        Assert.That(admission.TryEnter(One), Is.Null);
    }

    [Test]
    public void A_refusal_takes_no_place()
    {
        var admission = new Admission(3, 1);
        admission.TryEnter(One);
        for (int i = 0; i < 10; i++)
            Assert.That(admission.TryEnter(One)?.Reason, Is.EqualTo(RefusalReason.IpLimit));

        Assert.That(admission.TryEnter(Other), Is.Null);
        Assert.That(admission.TryEnter(IPAddress.Parse("192.0.2.3")), Is.Null);
        Assert.That(admission.TryEnter(IPAddress.Parse("192.0.2.4"))?.Reason, Is.EqualTo(RefusalReason.ConnectionLimit));
    }

    [TestCase(0, 5, true, 5)]
    [TestCase(10, 5, true, 5)]
    [TestCase(5, 10, false, 5)]
    [TestCase(0, int.MaxValue, false, 100)]
    public void The_limit_can_be_lowered_and_not_raised(int most, int possible, bool isLower, int places)
    {
        var admission = new Admission(most, 0);

        Assert.That(admission.LimitTo(possible), Is.EqualTo(isLower));

        Assert.That(Enumerable.Range(0, 100).Count(_ => admission.TryEnter(One) is null), Is.EqualTo(places));
    }

    [Test]
    public void No_race_lets_more_in()
    {
        var admission = new Admission(100, 60);
        int entered = 0;

        Parallel.For(0, 1000, i =>
        {
            if (admission.TryEnter(i % 2 == 0 ? One : Other) is null)
                Interlocked.Increment(ref entered);
        });

        Assert.That(entered, Is.EqualTo(100));
    }
}
