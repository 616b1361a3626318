using System.Text.RegularExpressions;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Telemetry;

internal sealed class IdleLimitsTests
{
    [TestCase(60, "25s")]
    [TestCase(59.99, "25s")]
    [TestCase(5, "2s")]
    [TestCase(350, "2m")]
    [TestCase(20, "5s")]
    [TestCase(30, "10s")]
    [TestCase(100, "45s")]
    [TestCase(55, "25s")]
    [TestCase(7200, "30m")]
    [TestCase(2, "500ms")]
    [TestCase(0.1, null)]
    public void The_ping_is_the_largest_usual_one_of_less_than_half_the_limit(double seconds, string? ping) =>
        Assert.That(IdleLimits.PingBelow(TimeSpan.FromSeconds(seconds)), Is.EqualTo(ping));

    [TestCase(60.04, "nginx, AWS ALB, Kubernetes ingress-nginx, Apache httpd, Varnish, lighttpd")]
    [TestCase(100.9, "Cloudflare, YARP")]
    [TestCase(5, "")]
    public void A_length_has_the_names_of_those_with_that_default(double seconds, string names) =>
        Assert.That(string.Join(", ", IdleLimits.Names(TimeSpan.FromSeconds(seconds), ofSilence: true, ofLife: false)), Is.EqualTo(names));

    /// <summary>A row of the page is a limit if its default begins with a time.</summary>
    [Test]
    public void The_table_of_the_page_on_dropped_connections_is_the_same()
    {
        string[][] rows =
        [
            .. File.ReadLines(Repository.File("docs/troubleshooting.md"))
                .SkipWhile(line => !line.StartsWith("| on the way", StringComparison.Ordinal))
                .TakeWhile(line => line.StartsWith('|'))
                .Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))
                .Where(cells => Regex.IsMatch(cells[1], @"^\d+ (s|min|h)\b")),
        ];

        Assert.That(rows.Select(cells => cells[0]), Is.EquivalentTo(IdleLimits.Usual.Select(limit => limit.Name)));
        foreach (IdleLimit limit in IdleLimits.Usual)
        {
            string[] row = rows.Single(cells => cells[0] == limit.Name);
            Assert.That(Time(row[1]), Is.EqualTo(limit.Default), limit.Name);
            Assert.That(row[2], Does.Contain(limit.Setting), limit.Name);
            Assert.That(row[1].Contains("for the whole life", StringComparison.Ordinal), Is.EqualTo(limit.IsOnLife), limit.Name);
        }
    }

    private static TimeSpan Time(string text)
    {
        string[] words = text.Split(' ');
        int number = int.Parse(words[0], System.Globalization.CultureInfo.InvariantCulture);
        return words[1].TrimEnd(',', ';', ':') switch
        {
            "s" => TimeSpan.FromSeconds(number),
            "min" => TimeSpan.FromMinutes(number),
            _ => TimeSpan.FromHours(number),
        };
    }
}
