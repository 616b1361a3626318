using HeartbeatServer.Hosting;

namespace HeartbeatServer.Tests.Hosting;

[Platform("Linux")]
public sealed class OpenSslTests
{
    [Test]
    public void A_machine_that_runs_these_tests_has_it() => Assert.DoesNotThrow(() => OpenSsl.Check());

    [Test]
    public void Any_version_that_the_framework_takes_will_do() => Assert.DoesNotThrow(() => OpenSsl.Check(name => name == "libssl.so.1.1"));

    [Test]
    public void Without_it_the_start_fails_and_names_the_package() =>
        Assert.That(() => OpenSsl.Check(_ => false), Throws.TypeOf<StartupException>().With.Message.Contains("libssl3"));
}
