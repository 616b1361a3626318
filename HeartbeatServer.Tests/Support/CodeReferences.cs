using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;

namespace HeartbeatServer.Tests.Support;

/// <summary>
/// Finds the types and members that the compiled code of a type names: in its base type, interfaces, attributes, fields, signatures, locals,
/// exception clauses and in every instruction. Constants do not appear, because the compiler copies their values.
/// </summary>
internal static class CodeReferences
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<int, OpCode> OpCodesByValue = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => code.Value & 0xFFFF);

    /// <summary>The types and members that <paramref name="type"/> names; for a member, its signature too.</summary>
    public static IEnumerable<MemberInfo> Of(Type type)
    {
        IEnumerable<MemberInfo> named =
        [
            .. type.BaseType is { } parent ? [parent] : Type.EmptyTypes,
            .. type.GetInterfaces(),
            .. Attributes(type),
            .. type.GetFields(Declared).SelectMany(field => Attributes(field).Cast<MemberInfo>().Append(field)),
            .. type.GetProperties(Declared).SelectMany(Attributes),
            .. type.GetMethods(Declared).Cast<MethodBase>().Concat(type.GetConstructors(Declared)).SelectMany(OfMethod),
        ];
        return named.SelectMany(WithSignature).Distinct();
    }

    private static IEnumerable<MemberInfo> OfMethod(MethodBase method)
    {
        yield return method;
        foreach (Type attribute in Attributes(method))
            yield return attribute;
        if (method.GetMethodBody() is not { } body)
            yield break;
        foreach (LocalVariableInfo local in body.LocalVariables)
            yield return local.LocalType;
        foreach (ExceptionHandlingClause clause in body.ExceptionHandlingClauses)
        {
            if (clause.Flags == ExceptionHandlingClauseOptions.Clause && clause.CatchType is { } caught)
                yield return caught;
        }
        foreach (int token in Tokens(body.GetILAsByteArray()!))
        {
            if (method.Module.ResolveMember(token, TypeArguments(method), MethodArguments(method)) is { } member)
                yield return member;
        }
    }

    private static Type[] TypeArguments(MethodBase method) =>
        method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : [];

    private static Type[] MethodArguments(MethodBase method) => method.IsGenericMethod ? method.GetGenericArguments() : [];

    private static IEnumerable<Type> Attributes(MemberInfo member) =>
        member.GetCustomAttributesData().Select(attribute => attribute.AttributeType);

    /// <summary>The metadata tokens in the instructions.</summary>
    private static IEnumerable<int> Tokens(byte[] code)
    {
        int at = 0;
        while (at < code.Length)
        {
            int value = code[at++];
            if (value == 0xFE)
                value = (value << 8) | code[at++];
            OpCode instruction = OpCodesByValue[value];
            switch (instruction.OperandType)
            {
                case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                    yield return BitConverter.ToInt32(code, at);
                    break;
                case OperandType.InlineSwitch:
                    at += 4 * BitConverter.ToInt32(code, at);
                    break;
                default:
                    break;
            }
            at += instruction.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                _ => 4,
            };
        }
    }

    private static IEnumerable<MemberInfo> WithSignature(MemberInfo member)
    {
        IEnumerable<Type> types = member switch
        {
            Type type => [type],
            FieldInfo field => [field.DeclaringType!, field.FieldType],
            MethodInfo method => [method.DeclaringType!, method.ReturnType, .. Parameters(method), .. MethodArguments(method)],
            ConstructorInfo constructor => [constructor.DeclaringType!, .. Parameters(constructor)],
            _ => [],
        };
        return types.SelectMany(Parts).Append(member);
    }

    private static IEnumerable<Type> Parameters(MethodBase method) => method.GetParameters().Select(parameter => parameter.ParameterType);

    /// <summary>An array, a reference or a generic type names the types that it is made of.</summary>
    private static IEnumerable<Type> Parts(Type type)
    {
        if (type.HasElementType)
            return Parts(type.GetElementType()!);
        return type.IsGenericType ? type.GetGenericArguments().SelectMany(Parts).Prepend(type) : [type];
    }

    /// <summary>Whether the compiler made it for its own use.</summary>
    public static bool IsSynthetic(Type type) =>
        type.Namespace is null || type.Namespace.StartsWith("Microsoft.", StringComparison.Ordinal)
        || type.Namespace.StartsWith("System.", StringComparison.Ordinal)
        || (type.DeclaringType is null && type.IsDefined(typeof(CompilerGeneratedAttribute)));
}
