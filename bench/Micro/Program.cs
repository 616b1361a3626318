// `wheel [HEARTBEATS]`: the timing wheel without sockets. Anything else is BenchmarkDotNet's.
using System.Globalization;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using Micro;

if (args is not ["wheel", .. var sizes])
{
    IConfig config = DefaultConfig.Instance.WithArtifactsPath(Path.Combine(AppContext.BaseDirectory, "artifacts"));
    BenchmarkSwitcher.FromAssembly(typeof(WheelProgram).Assembly).Run(args.Length == 0 ? ["--filter", "*", "--join"] : args, config);
    return 0;
}

if (sizes is [var size])
    WheelProgram.Run(int.Parse(size, CultureInfo.InvariantCulture));
else
    WheelProgram.Run(10_000, 100_000, 1_000_000);
return 0;
