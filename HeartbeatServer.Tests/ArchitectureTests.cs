using System.Diagnostics;
using System.Reflection;
using HeartbeatServer.Hosting;
using HeartbeatServer.Probe;
using HeartbeatServer.Relay;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests;

/// <summary>
/// Checks on the compiled code which room may use which: Framing ← Protocol ← Telemetry ← Engine ← (Connections | Http) ← (Relay | Probe) ← Hosting ←
/// Admin ← Program, with Options beside Telemetry.
/// </summary>
[TestFixture]
public sealed class ArchitectureTests
{
    private const string Root = "HeartbeatServer";

    /// <summary>The rooms from left to right. A room may name those further left. Rooms at the same place may not name each other.</summary>
    private static readonly string[][] Rooms =
    [
        [$"{Root}.Framing"], [$"{Root}.Protocol"], [$"{Root}.Telemetry", $"{Root}.Options"], [$"{Root}.Engine"],
        [$"{Root}.Connections", $"{Root}.Http"], [$"{Root}.Relay", $"{Root}.Probe"], [$"{Root}.Hosting"], [$"{Root}.Admin"], [Root],
    ];

    /// <summary>These rooms may not name Options. They take values of the command line as arguments.</summary>
    private static readonly string[] WithoutOptions = [$"{Root}.Engine", $"{Root}.Connections", $"{Root}.Relay"];

    /// <summary>The types of Relay and Probe that do no I/O. They are held to the rules of the pure rooms.</summary>
    private static readonly Type[] PureElsewhere =
    [
        typeof(UpstreamRequest), typeof(UpstreamAnswer), typeof(PageAnswer), typeof(PassingFrames), typeof(Passage), typeof(ProbeRequest), typeof(Secrets),
        typeof(Watched), typeof(Ladder), typeof(Campaign), typeof(Judgement), typeof(Verdict), typeof(VerdictText), typeof(ProgressText),
    ];

    /// <summary>Classes that others derive from, though they are not abstract.</summary>
    private static readonly Type[] Open = [typeof(global::HeartbeatServer.Engine.EpollTransport)];

    /// <summary>Types that give bytes, the time or the state of the system. The pure rooms get all of this as arguments.</summary>
    private static readonly string[] ImpureNamespaces =
        ["System.IO", "System.Threading", "System.Net", "System.Timers", "Microsoft.Win32", "Serilog", "System.CommandLine"];

    private static readonly Type[] ImpureTypes =
    [
        typeof(TimeProvider), typeof(Stopwatch), typeof(DateTime), typeof(DateTimeOffset), typeof(Environment), typeof(Console),
        typeof(Random),
    ];

    private static readonly Assembly Server = typeof(Framing.FrameHeaderTests).Assembly
        .GetReferencedAssemblies()
        .Where(name => name.Name == Root)
        .Select(Assembly.Load)
        .Single();

    private static IEnumerable<Type> Types => Server.GetTypes().Where(type => !CodeReferences.IsSynthetic(Outermost(type)));

    [Test]
    public void Every_type_is_in_a_room() =>
        Assert.That(Types.Select(type => type.Namespace).Distinct(), Is.EquivalentTo(Rooms.SelectMany(place => place)));

    [Test]
    public void A_room_names_only_itself_and_those_to_its_left()
    {
        string[] wrong =
        [
            .. from type in Types
               from named in CodeReferences.Of(type).OfType<Type>()
               where named.Assembly == Server && named.Namespace != type.Namespace && PlaceOf(named) >= PlaceOf(type)
               select $"{type} names {named}",
        ];

        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void Engine_Connections_and_Relay_do_not_know_the_command_line()
    {
        string[] wrong =
        [
            .. from type in Types
               where WithoutOptions.Contains(type.Namespace)
               from named in CodeReferences.Of(type).OfType<Type>()
               where named.Namespace == $"{Root}.Options"
               select $"{type} names {named}",
        ];

        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void Only_Hosting_and_Program_know_Relay()
    {
        string[] wrong =
        [
            .. from type in Types
               where type.Namespace is not ($"{Root}.Relay" or $"{Root}.Hosting" or Root)
               from named in CodeReferences.Of(type).OfType<Type>()
               where named.Namespace == $"{Root}.Relay"
               select $"{type} names {named}",
        ];

        Assert.That(wrong, Is.Empty);
    }

    /// <summary>The probe is a client. It measures any server, and shares with ours only what both sides of the protocol need.</summary>
    [Test]
    public void Only_Program_knows_Probe_and_Probe_knows_no_part_of_the_server()
    {
        string[] ofTheServer = [$"{Root}.Connections", $"{Root}.Http"];
        string[] wrong =
        [
            .. from type in Types
               from named in CodeReferences.Of(type).OfType<Type>()
               where (named.Namespace == $"{Root}.Probe" && type.Namespace is not ($"{Root}.Probe" or Root))
                   || (type.Namespace == $"{Root}.Probe" && ofTheServer.Contains(named.Namespace))
               select $"{type} names {named}",
        ];

        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void What_is_pure_knows_no_stream_task_socket_logger_or_clock()
    {
        string[] wrong =
        [
            .. from type in Types
               where type.Namespace is $"{Root}.Framing" or $"{Root}.Protocol" || PureElsewhere.Contains(Outermost(type))
               from named in CodeReferences.Of(type).OfType<Type>()
               where ImpureTypes.Contains(named) || ImpureNamespaces.Any(space => IsIn(named, space))
               select $"{type} names {named}",
        ];

        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void The_root_holds_only_Program() =>
        Assert.That(
            Types.Where(type => type.Namespace == Root && !type.IsNested).Select(type => type.Name), Is.EqualTo(new[] { "Program" }));

    [Test]
    public void No_type_has_the_name_of_its_namespace() =>
        Assert.That(Types.Select(type => type.Name), Has.None.EqualTo(Root));

    [Test]
    public void No_class_is_open_by_accident()
    {
        string[] open =
        [
            .. from type in Types
               where type.IsClass && !type.IsSealed && !type.IsAbstract && !type.IsNested && !Open.Contains(type)
               select type.FullName,
        ];

        Assert.That(open, Is.Empty, "sealed, unless it has a reason");
    }

    [Test]
    public void Nothing_is_public() => Assert.That(Types.Where(type => type.IsPublic), Is.Empty);

    /// <summary>Tests <see cref="CodeReferences"/> itself: it has to find a type in every place where code can name one.</summary>
    [TestCase(typeof(Samples.InField))]
    [TestCase(typeof(Samples.InBase))]
    [TestCase(typeof(Samples.InSignature))]
    [TestCase(typeof(Samples.InBody))]
    [TestCase(typeof(Samples.InGeneric))]
    [TestCase(typeof(Samples.InCatch))]
    [TestCase(typeof(Samples.InArray))]
    public void A_reference_is_seen_wherever_it_is(Type sample) =>
        Assert.That(CodeReferences.Of(sample).OfType<Type>().Where(type => IsIn(type, "System.IO")), Is.Not.Empty);

    private static bool IsIn(Type type, string space) =>
        type.Namespace == space || (type.Namespace?.StartsWith(space + ".", StringComparison.Ordinal) ?? false);

    private static int PlaceOf(Type type) => Array.FindIndex(Rooms, place => place.Contains(type.Namespace));

    private static Type Outermost(Type type) => type.DeclaringType is { } outer ? Outermost(outer) : type;

#pragma warning disable CA1823, CA1822, CS0169, IDE0051, CA1032, CA1064, CA1852, CA1034, CA1819, CA1024, CA1859
    private static class Samples
    {
        internal sealed class InField
        {
            private readonly Stream? _stream;
        }

        internal sealed class InBase : IOException;

        internal sealed class InSignature
        {
            public static int Length(ref Stream stream) => stream is null ? 0 : 1;
        }

        internal sealed class InBody
        {
            public static string Read() => File.ReadAllText("never called");
        }

        internal sealed class InGeneric
        {
            public static System.Collections.IList Make() => new List<Dictionary<int, Stream>>();
        }

        internal sealed class InCatch
        {
            public static int Try(Func<int> action)
            {
                try
                {
                    return action();
                }
                catch (EndOfStreamException)
                {
                    return 0;
                }
            }
        }

        internal sealed class InArray
        {
            public static Array Make() => new Stream[1];
        }
    }
#pragma warning restore
}
