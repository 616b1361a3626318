using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class FieldLinesTests
{
    [TestCase(null, "")]
    [TestCase("", "")]
    [TestCase(" \t,, ", "")]
    [TestCase("a", "a")]
    [TestCase("a,b\t ,\tc", "a|b|c")]
    [TestCase(",a,,b c,", "a|b c")]
    [TestCase("a\u00a0,\u0085b", "a\u00a0|\u0085b", Description = "white space is a space or a tab (RFC 9110 section 5.6.3), and nothing else")]
    public void A_list_has_its_elements_without_white_space_and_without_empty_ones(string? value, string elements) =>
        Assert.That(string.Join('|', FieldLines.Elements(value)), Is.EqualTo(elements));

    [Test]
    public void The_lines_of_a_field_are_joined_at_a_cost_that_grows_with_their_length()
    {
        Assert.That(Joined(2000, out long fewer), Has.Length.EqualTo((2000 * "10.0.0.1, ".Length) - ", ".Length));
        Joined(20_000, out long more);

        Assert.That(more, Is.LessThan(20 * fewer), "bytes that were allocated");

        static string Joined(int count, out long allocated)
        {
            var lines = new FieldLines(Enumerable.Repeat(("Via", "10.0.0.1"), count));
            long before = GC.GetAllocatedBytesForCurrentThread();
            string joined = lines["via"]!;
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            return joined;
        }
    }

    [TestCase("upgrade", true)]
    [TestCase("keep-alive, Upgrade", true)]
    [TestCase("Upgrades", false)]
    [TestCase("keep-alive Upgrade", false)]
    [TestCase("Upgrade\u00a0", false)]
    [TestCase(null, false)]
    public void A_token_is_found_in_any_case(string? value, bool isFound) => Assert.That(FieldLines.HasToken(value, "upgrade"), Is.EqualTo(isFound));
}
