using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

public sealed class SpellingTests
{
    private static readonly string[] Names = ["--port", "--ping", "--max-missed", "--max-connections", "--max-connections-per-ip", "--allow-origin"];

    [TestCase("--prot", ExpectedResult = "--port", Description = "neighbours in the wrong order")]
    [TestCase("--prt", ExpectedResult = "--port", Description = "a letter too few")]
    [TestCase("--poort", ExpectedResult = "--port", Description = "a letter too many")]
    [TestCase("--pong", ExpectedResult = "--ping", Description = "another letter")]
    [TestCase("PORT", ExpectedResult = "--port")]
    [TestCase("MAX_MISSED", ExpectedResult = "--max-missed")]
    [TestCase("maxmised", ExpectedResult = "--max-missed")]
    [TestCase("--max-conections-perip", ExpectedResult = "--max-connections-per-ip")]
    [TestCase("--connections", ExpectedResult = "--max-connections", Description = "the shortest name of which it is a part")]
    [TestCase("--orig", ExpectedResult = "--allow-origin")]
    [TestCase("--ori", ExpectedResult = null, Description = "a part too short to tell")]
    [TestCase("--quiet", ExpectedResult = null)]
    [TestCase("--x", ExpectedResult = null)]
    [TestCase("--", ExpectedResult = null)]
    [TestCase("", ExpectedResult = null)]
    public string? The_nearest_name_is_what_was_meant(string word) => Spelling.Nearest(word, Names);

    [Test]
    public void Where_there_are_no_names_none_is_near() => Assert.That(Spelling.Nearest("port", []), Is.Null);
}
