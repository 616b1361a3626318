using HeartbeatServer.Hosting;


namespace HeartbeatServer.Tests.Hosting;

/// <summary>The tests give <see cref="OpenFiles"/> a folder that looks like <c>/proc/self</c>.</summary>
internal sealed class OpenFilesTests
{
    private string _proc = "";

    [SetUp]
    public void SetUp() => _proc = Directory.CreateTempSubdirectory("heartbeat-proc-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(_proc, recursive: true);

    [Test]
    public void The_limit_less_what_is_open_less_a_tenth_in_reserve_is_for_connections()
    {
        Limits("1000                 4096                 files");
        Open(30);

        var files = new OpenFiles(_proc);
        Assert.That(files.MaxConnections, Is.EqualTo(1000 - 30 - 100));
        Assert.That(files.Spare, Is.EqualTo(50), "half of the reserve");
    }

    [TestCase("100", 64)]
    [TestCase("100000", 512)]
    public void The_reserve_has_bounds(string limit, int reserve)
    {
        Limits($"{limit}    {limit}    files");
        Open(0);

        Assert.That(new OpenFiles(_proc).MaxConnections, Is.EqualTo(int.Parse(limit) - reserve));
    }

    [Test]
    public void However_low_the_limit_there_is_room_for_one()
    {
        Limits("20    20    files");
        Open(19);

        Assert.That(new OpenFiles(_proc).MaxConnections, Is.EqualTo(1));
    }

    [Test]
    public void Unlimited_is_no_limit()
    {
        Limits("unlimited            unlimited            files");

        Assert.That(new OpenFiles(_proc).MaxConnections, Is.EqualTo(int.MaxValue));
    }

    [Test]
    public void Without_such_a_folder_there_is_no_limit() =>
        Assert.That(new OpenFiles(Path.Combine(_proc, "missing")).MaxConnections, Is.EqualTo(int.MaxValue));

    [Test]
    [Platform("Linux")]
    public void What_is_open_is_counted_as_the_system_counts_it()
    {
        int before = new OpenFiles().CountOpen();
        using (File.OpenHandle("/dev/null"))
        using (File.OpenHandle("/dev/null"))
            Assert.That(new OpenFiles().CountOpen(), Is.EqualTo(before + 2).Within(1), "other tests open files, too");
        Open(17);
        Assert.That(new OpenFiles(_proc).CountOpen(), Is.EqualTo(17));
    }

    private void Limits(string openFiles) => File.WriteAllText(
        Path.Combine(_proc, "limits"),
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        + "Max processes             127000               127000               processes \n"
        + $"Max open files            {openFiles}     \n");

    private void Open(int count)
    {
        Directory.CreateDirectory(Path.Combine(_proc, "fd"));
        for (int i = 0; i < count; i++)
            File.WriteAllText(Path.Combine(_proc, "fd", $"{i}"), "");
    }
}
